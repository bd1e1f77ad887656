// Package checkpoint reads the files of a Mixtral checkpoint as the Hugging
// Face libraries write them: safetensors files (whole or sharded), the index
// of the shards, and config.json. It also writes safetensors files.
//
// A tensor comes as raw little-endian bytes with the name of its element type
// and its shape; the package does no arithmetic and knows no tensor library.
// [OpenFile] and [OpenDir] map the files into memory, so opening a checkpoint
// of any size costs little and its bytes are paged in as they are read.
//
// Checkpoints are untrusted input. Everything a file says about itself is
// checked when it is opened (the header's length, duplicate names, element
// types, shapes, and that the tensors cover the data exactly once), and memory
// is only allocated in proportion to bytes that exist. A file that fails is
// refused with an error that names the file, the tensor or field, and the
// value found; the error wraps one of the sentinels of this package.
package checkpoint
