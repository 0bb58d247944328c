// Owns a connection over which HTTP is called at next to no cost for its process: HTTP/1.1 by hand, one call at a time.
import { once } from 'node:events';
import { connect } from 'node:net';

export interface Caller {
  /** Posts JSON and resolves to the body that is answered. @throws unless that is with a 200 and a Content-Length */
  post(path: string, json: string): Promise<string>;
  close(): void;
}

const endOfHead = '\r\n\r\n';

/** @param url of HTTP, without a path */
export async function openCaller(url: string): Promise<Caller> {
  const { hostname, port, host } = new URL(url);
  const socket = connect({ host: hostname, port: Number(port), noDelay: true });
  socket.setEncoding('latin1');
  await once(socket, 'connect');
  let called: PromiseWithResolvers<string> | undefined;
  let read = '';

  socket.on('data', (chunk: string) => {
    read += chunk;
    const bodyAt = read.indexOf(endOfHead) + endOfHead.length;
    if (bodyAt < endOfHead.length) return;
    const head = read.slice(0, bodyAt);
    const [, length] = /\r\ncontent-length: *(\d+)/i.exec(head) ?? [];
    const isGood = head.startsWith('HTTP/1.1 200 ') && length !== undefined;
    if (isGood && read.length < bodyAt + Number(length)) return;
    if (isGood) called?.resolve(read.slice(bodyAt));
    else called?.reject(new Error(`answered: ${read}`));
    called = undefined;
    read = '';
  });
  socket.on('error', () => undefined);
  socket.on('close', () => called?.reject(new Error('the connection was closed')));

  return {
    post(path, json) {
      called = Promise.withResolvers();
      if (socket.readyState !== 'open') called.reject(new Error('the connection is closed'));
      socket.write(
        `POST ${path} HTTP/1.1\r\nHost: ${host}\r\nContent-Type: application/json\r\nContent-Length: ${json.length}\r\n\r\n${json}`,
      );
      return called.promise;
    },
    close: () => void socket.destroy(),
  };
}
