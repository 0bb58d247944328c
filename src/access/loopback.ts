// Owns what a loopback address is: this machine alone reaches it.
import { BlockList, isIP } from 'node:net';

const loopback = new BlockList();
loopback.addSubnet('127.0.0.0', 8);
loopback.addAddress('::1', 'ipv6');

/** Whether a host, as in a setting or a URL, is this machine to itself. @param host an address, or a name */
export function isLoopback(host: string): boolean {
  const bare = host.replace(/^\[(.*)\]$/, '$1').toLowerCase();
  const family = isIP(bare);
  if (family === 0) return bare === 'localhost' || bare.endsWith('.localhost');
  return loopback.check(bare, family === 6 ? 'ipv6' : 'ipv4');
}

/** Whether a request was sent to a loopback name: another name that leads here is somebody's trick (DNS rebinding). */
export function isCalledAsLoopback(host: string | undefined): boolean {
  const url = `http://${host ?? ''}`;
  return URL.canParse(url) && isLoopback(new URL(url).hostname);
}
