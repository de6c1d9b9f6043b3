'use strict';

const http = require('node:http');
const { Shelf } = require('@lading/shelf');

const shelf = new Shelf();

function answer(response, status, value) {
  const body = JSON.stringify(value) + '\n';
  response.writeHead(status, { 'Content-Type': 'application/json', 'Content-Length': Buffer.byteLength(body) });
  response.end(body);
}

const server = http.createServer((request, response) => {
  if (request.url === '/alive') return answer(response, 200, { alive: true, mode: process.env.NODE_ENV });
  if (request.method !== 'PUT') return answer(response, 200, shelf.list());
  let text = '';
  request.on('data', (chunk) => { text += chunk; });
  request.on('end', () => {
    try {
      shelf.put(decodeURIComponent(request.url.slice(1)), Number(text));
      answer(response, 201, shelf.list());
    } catch (error) {
      answer(response, 400, { error: error.message });
    }
  });
});

server.listen(Number(process.env.PORT || 3000));
process.on('SIGTERM', () => server.close(() => process.exit(0)));
