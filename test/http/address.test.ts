// Where a call comes from: whom X-Forwarded-For is believed, and what a client is counted by.
import { once } from 'node:events';
import { createServer } from 'node:http';
import test from 'ava';
import { createAddressOf } from '../../src/http/address.ts';

/** What clients on loopback are counted by, given what they, or proxies there, say of themselves. */
async function counted(trustedProxies: readonly string[], forwarded: readonly string[]): Promise<string[]> {
  await using stack = new AsyncDisposableStack();
  const addressOf = createAddressOf(trustedProxies);
  const server = stack.adopt(createServer(), (it) => {
    it.closeAllConnections();
    it.close();
  });
  server.on('request', (request, response) => response.end(addressOf(request)));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  const port = typeof address === 'object' && address !== null ? address.port : 0;
  const ask = async (told: string) =>
    (await fetch(`http://127.0.0.1:${port}`, { headers: { 'x-forwarded-for': told } })).text();
  return await Promise.all(forwarded.map(ask));
}

test('without a trusted proxy the address is that of the connection, whatever is said', async (t) => {
  t.deepEqual(await counted([], ['192.0.2.1']), ['127.0.0.1']);
  t.deepEqual(await counted(['10.0.0.0/8'], ['192.0.2.1']), ['127.0.0.1']);
});

test('a trusted proxy is believed, and those before it only if they are trusted too', async (t) => {
  const told = ['192.0.2.1', '203.0.113.9, 192.0.2.1', '192.0.2.1, 10.1.2.3', '10.9.9.9, 10.1.2.3'];
  t.deepEqual(await counted(['loopback'], told), ['192.0.2.1', '192.0.2.1', '10.1.2.3', '10.1.2.3']);
  t.deepEqual(await counted(['127.0.0.1', '10.0.0.0/8'], told), [
    ...['192.0.2.1', '192.0.2.1', '192.0.2.1', '10.9.9.9'],
  ]);
});

test('an IPv6 client is counted by its /64, IPv4 in IPv6 as IPv4', async (t) => {
  const told = {
    '2001:db8:1:2:3:4:5:6': '2001:db8:1:2::/64',
    '2001:DB8:1:2::9': '2001:db8:1:2::/64',
    '2001:db8::1': '2001:db8:0:0::/64',
    '2001:db8:1:3::': '2001:db8:1:3::/64',
    '::2': '0:0:0:0::/64',
    'fe80::1%eth0': 'fe80:0:0:0::/64',
    '::ffff:192.0.2.1': '192.0.2.1',
    '::ffff:c000:201': '192.0.2.1',
    '64:ff9b::192.0.2.1': '64:ff9b:0:0::/64',
  };
  t.deepEqual(await counted(['loopback'], Object.keys(told)), Object.values(told));
});

test('a port that a proxy tells is left out, and what is no address counts as the proxy’s', async (t) => {
  const told = [
    '192.0.2.1:4711',
    '[2001:db8::1]:4711',
    '[2001:db8::1]',
    'unknown',
    '_hidden',
    '',
    '1',
    '::g',
  ];
  t.deepEqual(await counted(['loopback'], told), [
    ...['192.0.2.1', '2001:db8:0:0::/64', '2001:db8:0:0::/64'],
    ...Array.from({ length: 5 }, () => '127.0.0.1'),
  ]);
});
