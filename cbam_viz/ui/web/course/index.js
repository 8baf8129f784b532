// The course: a bundle of its own, fetched when the course is first in view.

export { mountCourse as mount } from "./course.js";
