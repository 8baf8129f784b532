// What Python sends of an explanation: see `payload` in cbam_viz/ui/viewer.py. Types only.

/** @import { View } from "../shared/geometry.js" */

/**
 * @typedef {object} SentBlock
 * @property {string} name torchvision's path of the block.
 * @property {number} stage 1 to 4.
 * @property {number} stride of the map, in px of the network's input.
 * @property {?number} field side of a cell's receptive field, in px of the input.
 * @property {number} rows
 * @property {number} columns
 * @property {string} spatial the gate: uint16, little-endian, in base64.
 * @property {string} channel likewise.
 */
/**
 * @typedef {object} Payload
 * @property {{url: string, size: [number, number], linked?: boolean, name?: ?string}} photo
 * @property {View & {squeezed: boolean}} view
 * @property {{name: string, untrained: ?string}} model
 * @property {Array<{label: string, label_zh?: string, probability: number}>} predictions
 * @property {SentBlock[]} blocks from input to output.
 * @property {string} openAt name of the block to begin with.
 * @property {Record<string, string>} tables colour tables: uint8 [256, 3] in base64.
 * @property {string[]} modes
 * @property {import("./state.js").LookDefaults} look
 * @property {number} nearlyConstant a gate whose values span less is called so.
 */
/**
 * @typedef {object} SentFeatures feature maps of one block, all on one scale.
 * @property {string} block
 * @property {number} rows
 * @property {number} columns
 * @property {number} low
 * @property {number} high
 * @property {number} most the greatest magnitude: the colours end there on both sides of 0.
 * @property {string} table of colours: uint8 [256, 3] in base64.
 * @property {Array<{channel: number, gate: number, min: number, max: number, levels: string}>} channels
 */

export {};
