// Owns packets of Socket.IO as finished websocket frames, several in one piece: ws renders each in two (its `Sender.frame`,
// which its types do not tell of), to be joined or written apart.

/** A text that is one frame, whole; its length follows. Source: RFC 6455, 5.2 */
const textFrame = 0x81;
const longestInOneByte = 125;
const twoBytesFollow = 126;
const longestInTwoBytes = 0xffff;
const eightBytesFollow = 127;
const longestHead = 10;
/** What a packet of Socket.IO is to Engine.IO. */
const messagePrefix = '4';
/** The longest packet whose frame has its length in one byte. */
const longestShort = longestInOneByte - messagePrefix.length;

/** @param text a packet of Socket.IO, ASCII; undefined if it is too long for a short frame */
export function renderShortFrame(text: string): Buffer | undefined {
  if (text.length > longestShort) return undefined;
  const frame = Buffer.allocUnsafe(text.length + 3);
  frame[0] = textFrame;
  frame[1] = text.length + messagePrefix.length;
  frame.write(messagePrefix + text, 2, 'latin1');
  return frame;
}

/** @param texts packets of Socket.IO */
export function renderFrames(texts: readonly string[]): Buffer {
  const lengths = texts.map((text) => messagePrefix.length + Buffer.byteLength(text));
  const frames = Buffer.allocUnsafe(lengths.reduce((sum, length) => sum + longestHead + length, 0));
  let end = 0;
  for (const [at, text] of texts.entries()) {
    end = writeHead(frames, end, lengths[at] ?? 0);
    end += frames.write(messagePrefix, end, 'latin1');
    end += frames.write(text, end);
  }
  return frames.subarray(0, end);
}

/** @returns where what it is the head of begins */
function writeHead(frames: Buffer, at: number, length: number): number {
  const next = frames.writeUInt8(textFrame, at);
  if (length <= longestInOneByte) return frames.writeUInt8(length, next);
  if (length <= longestInTwoBytes)
    return frames.writeUInt16BE(length, frames.writeUInt8(twoBytesFollow, next));
  return frames.writeBigUInt64BE(BigInt(length), frames.writeUInt8(eightBytesFollow, next));
}
