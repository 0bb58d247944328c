// Owns telling a person that Redis's certificate is not trusted, and what to do about it: that does not pass by itself.

/** The same failure; where a certificate is the reason, in words that say so. */
export function explained(error: Error): Error {
  if (!/certificate|altnames/i.test(error.message)) return error;
  return new Error(
    `its certificate is not trusted (${error.message}): NODE_EXTRA_CA_CERTS names a file with the authority to trust`,
    { cause: error },
  );
}
