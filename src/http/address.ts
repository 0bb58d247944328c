// Owns where a call comes from: the address of its connection, or what a proxy that is trusted says of it.
import type { IncomingMessage } from 'node:http';
import { isIP, isIPv4 } from 'node:net';
import proxyAddr from 'proxy-addr';

/** What a client is counted by: an IPv4 address, or the /64 of an IPv6 address, which is one client's to choose from. */
export type AddressOf = (request: IncomingMessage) => string;

/** @param trustedProxies addresses, ranges, or proxy-addr's names of ranges, as the settings have checked them */
export function createAddressOf(trustedProxies: readonly string[]): AddressOf {
  const trust = proxyAddr.compile([...trustedProxies]);
  return (request) => {
    const own = request.socket.remoteAddress ?? '';
    if (own === '') return 'unknown';
    if (!trust(own, 0)) return networkOf(own);
    const told = withoutPort(proxyAddr(request, trust));
    return networkOf(isIP(told) === 0 ? own : told);
  };
}

/** Some proxies tell the port as well: `192.0.2.1:4711`, `[2001:db8::1]:4711`. */
function withoutPort(address: string): string {
  return address.replace(/^(?:\[([^\]]*)\]|(\d+\.\d+\.\d+\.\d+))(?::\d+)?$/, '$1$2');
}

function networkOf(address: string): string {
  if (isIPv4(address)) return address;
  const groups = groupsOf(address);
  const [sixth = '0', high = '0', low = '0'] = groups.slice(5);
  // IPv4 on a socket that listens to both.
  if (sixth === 'ffff' && groups.slice(0, 5).every((group) => group === '0'))
    return [high, low].flatMap((group) => [parseInt(group, 16) >> 8, parseInt(group, 16) & 255]).join('.');
  return `${groups.slice(0, 4).join(':')}::/64`;
}

/** The eight groups of an IPv6 address, in its canonical hexadecimal. */
function groupsOf(address: string): string[] {
  // A zone is this machine's own name for a link.
  const { hostname } = new URL(`http://[${address.split('%', 1)[0]}]`);
  const [head = [], tail = []] = hostname
    .slice(1, -1)
    .split('::')
    .map((half) => half.split(':').filter((group) => group !== ''));
  return [...head, ...Array<string>(8 - head.length - tail.length).fill('0'), ...tail];
}
