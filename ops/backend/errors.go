package backend

import (
	"errors"
	"fmt"
)

// Sentinel errors. Every error of the ops and backends wraps one of them, for errors.Is. (An error that comes out of a
// TapeMachine goes through ops.Cause first.)
var (
	// ErrShape: an operand's shape does not fit the op or the other operands.
	ErrShape = errors.New("shape mismatch")
	// ErrDtype: an operand has a dtype that the op does not take.
	ErrDtype = errors.New("unsupported dtype")
	// ErrParameter: a hyper-parameter is out of its range.
	ErrParameter = errors.New("parameter out of range")
	// ErrExpertID: an expert id is neither −1 nor in [0,E). See ExpertIDError.
	ErrExpertID = errors.New("expert id out of range")
	// ErrIndex: an index (a token id, a position) is out of range.
	ErrIndex = errors.New("index out of range")
	// ErrUnsupported: no backend of the device has the stage, or none takes these operands. A backend returns it to
	// decline, before it has written anything.
	ErrUnsupported = errors.New("not supported by the backend")
	// ErrDevice: values live on different devices, or the device failed or is closed.
	ErrDevice = errors.New("device error")
	// ErrValue: a value is of a Go type that the op cannot read.
	ErrValue = errors.New("unusable value")
)

// ExpertIDError says which slot of the routing holds an expert id outside [0,Experts) that is not −1.
// errors.Is(err, ErrExpertID) holds for it.
type ExpertIDError struct {
	Token, Slot int  // position in ids (T,K)
	ID          int  // the id found there
	Experts     int  // the number of experts that ids may name
	Mapped      bool // the id is not of the routing itself but what the expert map holds for it
}

// Error implements error.
func (e *ExpertIDError) Error() string {
	if e.Mapped {
		return fmt.Sprintf("token %d, slot %d: the expert map holds %d, want -1 or a local expert in [0,%d)",
			e.Token, e.Slot, e.ID, e.Experts)
	}
	return fmt.Sprintf("token %d, slot %d holds expert id %d, want -1 or an id in [0,%d)", e.Token, e.Slot, e.ID, e.Experts)
}

// Is reports whether target is ErrExpertID.
func (e *ExpertIDError) Is(target error) bool { return target == ErrExpertID }
