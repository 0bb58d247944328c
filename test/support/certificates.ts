// Owns certificates in tests: an authority of one test's own, and what it certifies.
import { isIP } from 'node:net';
import { generate } from 'selfsigned';

export interface Certified {
  /** Both as PEM. */
  readonly cert: string;
  readonly key: string;
}

export interface Authority {
  /** Its own certificate as PEM, for whoever is to trust it. */
  readonly ca: string;
  /** Certifies a server, or a client, of these names and addresses. */
  issue(...hosts: readonly [string, ...string[]]): Promise<Certified>;
}

/** Valid from yesterday, as clocks differ, for two days. */
function validity() {
  const dayMs = 86_400_000;
  return {
    notBeforeDate: new Date(Date.now() - dayMs),
    notAfterDate: new Date(Date.now() + dayMs),
    keyType: 'ec',
    algorithm: 'sha256',
  } as const;
}

export async function createAuthority(): Promise<Authority> {
  const own = await generate([{ name: 'commonName', value: 'An authority of the tests' }], {
    ...validity(),
    extensions: [
      { name: 'basicConstraints', cA: true, critical: true },
      { name: 'keyUsage', keyCertSign: true, cRLSign: true, critical: true },
    ],
  });
  return {
    ca: own.cert,
    async issue(...hosts) {
      const { cert, private: key } = await generate([{ name: 'commonName', value: hosts[0] }], {
        ...validity(),
        ca: { key: own.private, cert: own.cert },
        extensions: [
          { name: 'basicConstraints', cA: false, critical: true },
          { name: 'keyUsage', digitalSignature: true, critical: true },
          { name: 'extKeyUsage', serverAuth: true, clientAuth: true },
          {
            name: 'subjectAltName',
            altNames: hosts.map((host) =>
              isIP(host) === 0 ? { type: 2, value: host } : { type: 7, ip: host },
            ),
          },
        ],
      });
      return { cert, key };
    },
  };
}
