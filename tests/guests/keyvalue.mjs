// SPDX-License-Identifier: Apache-2.0
// wasi:keyvalue in memory, for guests that another engine runs (tests/guests/compare).
const values = new Map();
const counts = new Map();

class Bucket {
  get(key) { return values.get(key); }
  set(key, value) { values.set(key, value); }
  delete(key) { values.delete(key); }
}

export const store = { Bucket, open: () => new Bucket() };

export const atomics = {
  increment(bucket, key, delta) {
    counts.set(key, (counts.get(key) ?? 0n) + delta);
    return counts.get(key);
  },
};
