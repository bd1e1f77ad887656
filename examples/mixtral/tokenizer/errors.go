package tokenizer

import "errors"

var (
	// ErrInvalid marks a tokenizer.json that is malformed or contradicts itself.
	ErrInvalid = errors.New("invalid tokenizer")
	// ErrUnsupported marks a tokenizer.json that asks for something this package does not do.
	ErrUnsupported = errors.New("unsupported tokenizer feature")
	// ErrUnknownID marks an id that no token has.
	ErrUnknownID = errors.New("unknown token id")
	// ErrTooLarge marks a file or a text beyond what the package handles.
	ErrTooLarge = errors.New("too large")
)
