// SPDX-License-Identifier: Apache-2.0
// AssemblyScript: strings are UTF-16 in its memory, so every string is transcoded on the way in and on the way out.

/** Where the host puts what it passes: managed memory, so that it can be kept as a string. */
export function cabi_realloc(old: usize, oldSize: usize, align: usize, size: usize): usize {
  const at = __new(size, idof<String>());
  if (old) memory.copy(at, old, min(oldSize, size));
  return at;
}

function text(at: usize, units: usize): string {
  const s = changetype<string>(__new(units << 1, idof<String>()));
  memory.copy(changetype<usize>(s), at, units << 1);
  return s;
}

const result = new StaticArray<u32>(2);

export function shout(at: usize, units: usize): usize {
  const s = text(at, units).toUpperCase() + "!";
  result[0] = changetype<usize>(s) as u32;
  result[1] = s.length;
  return changetype<usize>(result);
}

export function units(at: usize, n: usize): u32 {
  return text(at, n).length;
}
