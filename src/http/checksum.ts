// Owns the checksum of gzip over pieces whose own checksums are known: CRC-32, as RFC 1952 has it.
import { crc32 } from 'node:zlib';

/** Of some bytes. */
export interface Checksum {
  readonly crc: number;
  /** What it is multiplied with that stands in front of them. */
  readonly shift: number;
}

/** The polynomial, its lowest power in the highest bit, as everywhere here. */
const polynomial = 0xedb88320;
const one = 0x80000000;
/** x to the eighth: what one byte is. */
const byte = one >>> 8;

export function checksumOf(bytes: Buffer): Checksum {
  return { crc: crc32(bytes), shift: power(byte, bytes.length) };
}

/** The checksum of all of them in a row: bits in front are worth x to the number of bits behind them. */
export function joinChecksums(checksums: Iterable<Checksum>): number {
  let crc = 0;
  for (const each of checksums) crc = multiply(each.shift, crc) ^ each.crc;
  return crc >>> 0;
}

function power(base: number, exponent: number): number {
  let result = one;
  let square = base;
  for (let left = exponent; left > 0; left = Math.floor(left / 2)) {
    if (left % 2 === 1) result = multiply(result, square);
    square = multiply(square, square);
  }
  return result;
}

/** Of polynomials over one bit, by the remainder of the polynomial above. */
function multiply(left: number, right: number): number {
  let product = 0;
  let shifted = right;
  for (let bit = one; bit !== 0; bit >>>= 1) {
    if ((left & bit) !== 0) product ^= shifted;
    shifted = (shifted & 1) === 1 ? (shifted >>> 1) ^ polynomial : shifted >>> 1;
  }
  return product;
}
