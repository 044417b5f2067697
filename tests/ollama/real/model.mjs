// SPDX-License-Identifier: Apache-2.0
// Writes a language model of half a megabyte that has learnt nothing: the architecture, the file format (GGUF 3) and the
// tokenizer are those of real ones, the weights come from a fixed sequence. At temperature 0 it always says the same.
//   node model.mjs FILE
import { writeFileSync } from 'node:fs';

const EMBEDDING = 64, LAYERS = 2, HEADS = 4, FEED_FORWARD = 128, CONTEXT = 512, ALIGNMENT = 32;
const UINT32 = 4, FLOAT32 = 6, STRING = 8, ARRAY = 9, INT32 = 5; // types of metadata
const NORMAL = 1, UNKNOWN = 2, CONTROL = 3, BYTE = 6; // types of tokens
const words = (`the a and of to in was it that his her with on for as had but not at by from they she he were
  harbour boat rain wind sea morning night light door letter keeper tower old small quiet again slowly home
  waited opened carried wrote remembered found followed left came went said nobody somebody everything . ,`).split(/\s+/);

const tokens = [['<unk>', UNKNOWN], ['<s>', CONTROL], ['</s>', CONTROL]];
for (let i = 0; i < 256; i++) tokens.push([`<0x${i.toString(16).toUpperCase().padStart(2, '0')}>`, BYTE]);
const spoken = tokens.length; // what it can say begins here
tokens.push(['\u2581', NORMAL]);
for (const word of words) tokens.push([/^\w/.test(word) ? `\u2581${word}` : word, NORMAL]);

// ---- bytes

const chunks = [];
let size = 0;
const put = (bytes) => { chunks.push(bytes); size += bytes.length; };
const number = (n, bytes) => { const b = Buffer.alloc(bytes); b.writeUIntLE(n, 0, Math.min(bytes, 6)); return b; };
const float = (x) => { const b = Buffer.alloc(4); b.writeFloatLE(x); return b; };
const string = (s) => Buffer.concat([number(Buffer.byteLength(s), 8), Buffer.from(s)]);
const writers = { [UINT32]: (n) => number(n, 4), [INT32]: (n) => number(n, 4), [FLOAT32]: float, [STRING]: string };
const array = (type, list) =>
  Buffer.concat([number(type, 4), number(list.length, 8), ...list.map(writers[type])]);

const metadata = [
  ['general.architecture', STRING, 'llama'],
  ['general.name', STRING, 'untaught'],
  ['llama.context_length', UINT32, CONTEXT],
  ['llama.embedding_length', UINT32, EMBEDDING],
  ['llama.block_count', UINT32, LAYERS],
  ['llama.feed_forward_length', UINT32, FEED_FORWARD],
  ['llama.attention.head_count', UINT32, HEADS],
  ['llama.attention.head_count_kv', UINT32, HEADS],
  ['llama.attention.layer_norm_rms_epsilon', FLOAT32, 1e-5],
  ['llama.rope.dimension_count', UINT32, EMBEDDING / HEADS],
  ['llama.vocab_size', UINT32, tokens.length],
  ['tokenizer.ggml.model', STRING, 'llama'],
  ['tokenizer.ggml.tokens', ARRAY, array(STRING, tokens.map(([text]) => text))],
  ['tokenizer.ggml.scores', ARRAY, array(FLOAT32, tokens.map((_, i) => (i < spoken ? 0 : -i)))],
  ['tokenizer.ggml.token_type', ARRAY, array(INT32, tokens.map(([, type]) => type))],
  ['tokenizer.ggml.bos_token_id', UINT32, 1],
  ['tokenizer.ggml.eos_token_id', UINT32, 2],
  ['tokenizer.ggml.unknown_token_id', UINT32, 0],
];

// ---- weights

let state = 1;
const random = () => {
  state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
  return state / 2 ** 31 - 1;
};
const randoms = (n) => Buffer.concat(Array.from({ length: n }, () => float(random() * 0.3)));
const ones = (n) => Buffer.concat(Array.from({ length: n }, () => float(1)));
const matrix = (name, columns, rows) => [name, [columns, rows], randoms(columns * rows)];
const norm = (name) => [name, [EMBEDDING], ones(EMBEDDING)];

const tensors = [matrix('token_embd.weight', EMBEDDING, tokens.length), norm('output_norm.weight')];
for (let i = 0; i < LAYERS; i++) {
  const at = (part) => `blk.${i}.${part}.weight`;
  tensors.push(norm(at('attn_norm')), norm(at('ffn_norm')));
  for (const part of ['attn_q', 'attn_k', 'attn_v', 'attn_output']) tensors.push(matrix(at(part), EMBEDDING, EMBEDDING));
  tensors.push(matrix(at('ffn_gate'), EMBEDDING, FEED_FORWARD), matrix(at('ffn_up'), EMBEDDING, FEED_FORWARD),
    matrix(at('ffn_down'), FEED_FORWARD, EMBEDDING));
}
const output = matrix('output.weight', EMBEDDING, tokens.length);
output[2].fill(0, 0, spoken * EMBEDDING * 4); // control tokens and bytes: never the likeliest
tensors.push(output);

// ---- the file

put(Buffer.concat([Buffer.from('GGUF'), number(3, 4), number(tensors.length, 8), number(metadata.length, 8)]));
for (const [key, type, value] of metadata)
  put(Buffer.concat([string(key), number(type, 4), type === ARRAY ? value : writers[type](value)]));
const padding = (n) => Buffer.alloc((ALIGNMENT - (n % ALIGNMENT)) % ALIGNMENT);
let offset = 0;
for (const [name, shape, data] of tensors) {
  put(Buffer.concat([string(name), number(shape.length, 4), ...shape.map((n) => number(n, 8)), number(0, 4),
    number(offset, 8)])); // type 0: F32
  offset += data.length + padding(data.length).length;
}
put(padding(size));
for (const [, , data] of tensors) {
  put(data);
  put(padding(data.length));
}
writeFileSync(process.argv[2], Buffer.concat(chunks));
