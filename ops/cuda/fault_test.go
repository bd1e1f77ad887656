//go:build cu && linux && cgo

package cuda

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"gorgonia.org/cu"

	"github.com/gorgonia/moe/ops/backend"
)

func TestFaultsAreReportedOnce(t *testing.T) {
	for _, c := range []struct {
		fault fault
		want  error
		text  string
	}{
		{fault{stage: 3, code: faultExpert, token: 5, slot: 1, value: 9, limit: 8}, backend.ErrExpertID, "token 5, slot 1 holds expert id 9"},
		{fault{stage: 3, code: faultMapped, token: 5, slot: 1, value: 9, limit: 8}, backend.ErrExpertID, "the expert map holds 9"},
		{fault{stage: 3, code: faultRows, value: 130, limit: 128}, backend.ErrShape, "plan: the routing fills 130 rows, the plan has R = 128"},
		{fault{stage: 15, code: faultIndex, token: 2, value: -4, limit: 100}, backend.ErrIndex, "embedding: index -4 of token 2"},
		{fault{stage: 4, code: faultTable, token: 7, value: 77, limit: 10}, backend.ErrIndex, "permute: the plan holds 77"},
		{fault{stage: 99, code: 99}, backend.ErrDevice, "unknown fault 99"},
	} {
		c.fault.state = faultComplete
		f := faults{record: &c.fault}
		err := f.take()
		if !errors.Is(err, c.want) || !strings.Contains(fmt.Sprint(err), c.text) {
			t.Errorf("code %d: error %q, want %q and %q", c.fault.code, err, c.want, c.text)
		}
		if err := f.take(); err != nil {
			t.Errorf("code %d is reported twice: %v", c.fault.code, err)
		}
	}
	claimed := faults{record: &fault{state: 1, code: faultExpert}}
	if err := claimed.take(); err != nil {
		t.Errorf("a record that is being written is reported: %v", err)
	}
}

func TestFatalErrorsAreToldOnce(t *testing.T) {
	d := &Device{ordinal: 3}
	if err := d.failure("launch", nil); err != nil {
		t.Errorf("success is %v", err)
	}
	err := d.failure("launch", cu.InvalidValue)
	if !errors.Is(err, backend.ErrDevice) || !errors.Is(err, cu.InvalidValue) || d.broken.Load() != nil {
		t.Errorf("an error of one call: %v, broken: %v", err, d.broken.Load())
	}
	first := d.failure("wait", cu.IllegalAddress)
	if !errors.Is(first, backend.ErrDevice) || !strings.Contains(first.Error(), "cuda:3: wait: IllegalAddress, caused by") {
		t.Errorf("the first fatal error: %v", first)
	}
	second := d.failure("launch", cu.LaunchFailed)
	if !errors.Is(second, backend.ErrDevice) || !errors.Is(second, cu.IllegalAddress) || strings.Contains(second.Error(), "caused by") {
		t.Errorf("the next one: %v", second)
	}
}
