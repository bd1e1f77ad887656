// Package tokenizer turns text into token ids and back, for models whose vocabulary is a Hugging Face tokenizer.json of
// the byte-pair-encoding kind that Mixtral and Llama use. Ids and texts are those of the Hugging Face tokenizers library.
//
// # What a file may hold
//
//   - model: BPE with byte_fallback, fuse_unk, unk_token and ignore_merges; merges as "a b" or as ["a", "b"].
//   - added_tokens: special or not, with single_word, lstrip, rstrip and normalized.
//   - normalizer: Prepend, Replace of a string, Sequence.
//   - pre_tokenizer: Metaspace with any prepend_scheme (or the older add_prefix_space) and split, Sequence.
//   - post_processor: TemplateProcessing.
//   - decoder: Replace of a string, ByteFallback, Fuse, Strip, Metaspace, Sequence.
//
// Each part but the model may be null or missing. Anything else that could change an id or a decoded text (another type,
// a field of unknown name, dropout, truncation, padding) is an error that names it. So is a file that contradicts itself:
// two tokens of one id, a merge of tokens that the vocabulary lacks, an added token whose id is not the one that the
// library would give it.
//
// # Encoding
//
//	text ─ added tokens ─ normalizer ─ normalized added tokens ─ pre_tokenizer ─ BPE ─ template → ids
//
// The added tokens are cut out first, leftmost and longest match; every stretch of text between them is normalized and
// merged on its own. A stretch of n characters takes O(n log n) time whatever it holds, so a long text without a space
// costs no more than another.
//
// Text that is not valid UTF-8 is encoded as if each invalid byte were U+FFFD, which is how a Go range loop reads it.
//
// # Decoding
//
// [Tokenizer.Decode] is a [Stream] fed to its end, therefore both give the same text. A run of byte tokens such as <0xE2>
// is decoded as a whole, as the library does: if the run is valid UTF-8 it is that text, else each of its bytes is
// U+FFFD. A Stream holds such a run back until it ends.
//
// # Untrusted files
//
// A tokenizer.json is data from a stranger. Parsing takes memory in proportion to the file; nesting, literals and the
// growth of a text under its normalizer and decoder are bounded; no file makes the package panic.
package tokenizer
