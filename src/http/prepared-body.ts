// Owns JSON that is put together from parts, each of which is rendered and compressed once, however many answers it is in.
import { hash } from 'node:crypto';
import { Readable } from 'node:stream';
import { constants, deflateRawSync } from 'node:zlib';
import { type Checksum, checksumOf, joinChecksums } from './checksum.ts';

/** A piece of a body. It never changes. */
export interface Piece {
  readonly bytes: Buffer;
  /** By what it is told apart from every other, in a tag. */
  readonly digest: string;
  /** The same as deflate that ends on a byte and refers to nothing before it. */
  readonly deflated: Buffer;
  readonly checksum: Checksum;
}

/** Quick: what the next level saves in bytes costs three times as long. */
const level = 1;
const readAheadBytes = 262_144;

export function createPiece(text: string): Piece {
  const bytes = Buffer.from(text);
  let digest: string | undefined;
  let deflated: Buffer | undefined;
  let checksum: Checksum | undefined;
  return {
    bytes,
    get digest() {
      digest ??= hash('sha1', bytes, 'base64url');
      return digest;
    },
    get deflated() {
      deflated ??= deflateRawSync(bytes, { level, finishFlush: constants.Z_SYNC_FLUSH });
      return deflated;
    },
    get checksum() {
      checksum ??= checksumOf(bytes);
      return checksum;
    },
  };
}

const comma = createPiece(',');
const gzipHead = Buffer.from([0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 4, 255]);
/** A last block with nothing in it. */
const lastBlock = Buffer.from([3, 0]);

/** A whole body. */
export class PreparedBody {
  /** Names what all the pieces say, not what stands around them. */
  readonly tag: string;
  readonly #pieces: readonly Piece[];
  #gzip: Buffer | undefined;

  /** @param text what stands before and behind the pieces, which are set apart by commas */
  constructor(text: { before: string; behind: string }, pieces: readonly Piece[], tag: string) {
    this.tag = tag;
    this.#pieces = [
      createPiece(text.before),
      ...pieces.flatMap((piece, at) => (at === 0 ? piece : [comma, piece])),
      createPiece(text.behind),
    ];
  }

  /** In bytes, not compressed. */
  get length(): number {
    return this.#pieces.reduce((sum, { bytes }) => sum + bytes.length, 0);
  }

  /** Not compressed: piece by piece, so that no caller has a copy of its own. */
  stream(): Readable {
    const left = this.#pieces.values();
    return new Readable({
      highWaterMark: readAheadBytes,
      read() {
        for (const { bytes } of left) if (!this.push(bytes)) return;
        this.push(null);
      },
    });
  }

  /** RFC 1952 around RFC 1951: blocks that end on a byte may stand one behind the other. */
  get gzip(): Buffer {
    if (this.#gzip === undefined) {
      const trailer = Buffer.alloc(8);
      trailer.writeUInt32LE(joinChecksums(this.#pieces.map(({ checksum }) => checksum)), 0);
      trailer.writeUInt32LE(this.length % 2 ** 32, 4);
      const blocks = this.#pieces.map(({ deflated }) => deflated);
      this.#gzip = Buffer.concat([gzipHead, ...blocks, lastBlock, trailer]);
    }
    return this.#gzip;
  }
}
