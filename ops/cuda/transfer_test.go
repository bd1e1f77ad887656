//go:build cu && linux && cgo

package cuda

import (
	"os"
	"testing"
)

// TestStagingKeepsWhatItHas: where a step fails, what steps before it made is there for the next time.
func TestStagingKeepsWhatItHas(t *testing.T) {
	if os.Getenv(standInVariable) == "" {
		t.Skip("the driver here is no stand-in that could be made to fail")
	}
	d := testDevice(t)
	var s staging
	open := func() error { return d.do("test", s.open) }
	t.Setenv("STANDIN_MARKS", "0")
	err := open()
	first := s.buffers
	if err == nil || first[0] == nil || first[1] != nil {
		t.Fatalf("without an event: error %v, buffers %v, want an error and the first buffer", err, first)
	}
	if err := open(); err == nil || s.buffers != first {
		t.Errorf("again: error %v, buffers %v, want an error and %v", err, s.buffers, first)
	}
	t.Setenv("STANDIN_MARKS", "1")
	if err := open(); err != nil || s.buffers[0] != first[0] || s.buffers[1] == nil {
		t.Errorf("with events: error %v, buffers %v, want the first to be %v", err, s.buffers, first[0])
	}
}
