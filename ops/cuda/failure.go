//go:build cu && linux && cgo

package cuda

import (
	"errors"
	"fmt"
	"slices"

	"gorgonia.org/cu"

	"github.com/gorgonia/moe/ops/backend"
)

// fatal are the driver's errors after which a context cannot be used.
var fatal = []error{
	cu.IllegalAddress, cu.LaunchTimeout, cu.HardwareStackError, cu.IllegalInstruction, cu.MisalignedAddress,
	cu.InvalidAddressSpace, cu.InvalidPc, cu.LaunchFailed, cu.Assert, cu.EccUncorrectable, cu.NvlinkUncorrectable,
	cu.ContextIsDestroyed,
}

// failure says what failed on which device. Errors of this module pass through, those of the driver become a
// backend.ErrDevice.
func (d *Device) failure(what string, err error) error {
	if err == nil {
		return nil
	}
	return d.describe(what, err)
}

func (d *Device) describe(what string, err error) error {
	switch {
	case errors.Is(err, backend.ErrDevice):
		return err
	case !slices.ContainsFunc(fatal, func(f error) bool { return errors.Is(err, f) }):
		return fmt.Errorf("%v: %s: %w: %w", d, what, err, backend.ErrDevice)
	}
	full := fmt.Errorf("%v: %s: %w, caused by this or an earlier call; the device is unusable until the process starts again: %w",
		d, what, err, backend.ErrDevice)
	if d.broken.CompareAndSwap(nil, &err) {
		return full
	}
	return fmt.Errorf("%v: %s: the device is unusable after the error %w: %w", d, what, *d.broken.Load(), backend.ErrDevice)
}
