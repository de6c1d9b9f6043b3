'use strict';

// Books by title.
class Shelf {
  constructor() {
    this.books = new Map();
  }

  put(title, pages) {
    if (!Number.isInteger(pages) || pages < 1) throw new RangeError(`${title}: ${pages} is no number of pages`);
    this.books.set(title, pages);
  }

  list() {
    return [...this.books].map(([title, pages]) => ({ title, pages })).sort((a, b) => a.title.localeCompare(b.title));
  }
}

module.exports = { Shelf };
