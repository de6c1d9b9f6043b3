'use strict';

const assert = require('node:assert');
const test = require('node:test');
const { Shelf } = require('@lading/shelf');

test('books are listed by title', () => {
  const shelf = new Shelf();
  shelf.put('Zebras', 10);
  shelf.put('Apes', 20);
  assert.deepStrictEqual(shelf.list(), [{ title: 'Apes', pages: 20 }, { title: 'Zebras', pages: 10 }]);
});

test('a book has pages', () => {
  assert.throws(() => new Shelf().put('Nothing', 0), RangeError);
});
