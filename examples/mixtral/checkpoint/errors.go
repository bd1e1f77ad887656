package checkpoint

import (
	"errors"
	"fmt"
)

// The errors of this package wrap one of these, or an error of package fs.
var (
	// ErrFormat marks a file that breaks the rules of its format: broken
	// JSON, a duplicate name, an impossible shape or offset.
	ErrFormat = errors.New("malformed file")
	// ErrTruncated marks a file that ends before the data it declares.
	ErrTruncated = errors.New("truncated file")
	// ErrNotFound marks a tensor that a checkpoint does not have.
	ErrNotFound = errors.New("tensor not found")
	// ErrShape marks a tensor whose shape is not the one the config implies.
	ErrShape = errors.New("wrong shape")
	// ErrConfig marks a config value that is out of range or contradicts
	// another one.
	ErrConfig = errors.New("invalid config")
	// ErrUnsupported marks a well-formed checkpoint of a kind this package
	// does not know: another architecture, RoPE type, activation or
	// element type.
	ErrUnsupported = errors.New("unsupported checkpoint")
)

// named puts the file, if it has a name, in front of an error.
func named(file string, err error) error {
	if file == "" {
		return err
	}
	return fmt.Errorf("%s: %w", file, err)
}

// maxQuoted is how much of a string from a file an error repeats, in bytes.
const maxQuoted = 120

// quote makes text from a file safe and short enough for an error.
func quote[S ~string | ~[]byte](s S) string {
	if len(s) <= maxQuoted {
		return fmt.Sprintf("%q", string(s))
	}
	return fmt.Sprintf("%q… (%d bytes)", string(s[:maxQuoted]), len(s))
}
