package ops

import "errors"

// Cause gives the error of the op inside an error of a TapeMachine. The machine wraps it in a type of its own that errors.Is
// and errors.As cannot see through; after
//
//	err := ops.Cause(machine.RunAll())
//
// they find the sentinel errors of package backend. Any other error, nil too, is given back as it is.
func Cause(err error) error {
	for e := err; e != nil; e = errors.Unwrap(e) {
		if vm, ok := e.(interface{ Err() error }); ok {
			return vm.Err()
		}
	}
	return err
}
