//go:build cu && linux && cgo

package cuda

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"testing"
	"time"

	"gorgonia.org/tensor"

	"github.com/gorgonia/moe/layers"
	"github.com/gorgonia/moe/ops/backend"
)

// keepBusy queues work that takes about half a second. It gives what ends it on the driver's stand-in.
func keepBusy(t *testing.T, d *Device) (end func()) {
	t.Helper()
	if os.Getenv(standInVariable) != "" {
		t.Setenv("STANDIN_BUSY", "1")
		return func() { t.Setenv("STANDIN_BUSY", "0") }
	}
	x := must(d.New(tensor.Float32, tensor.Shape{64 << 20}))(t)
	out := must(d.New(tensor.Float32, tensor.Shape{64 << 20}))(t)
	g := must(Capture(d, func() error {
		for range 200 {
			if err := (Portable{}).Add(out, x, x); err != nil {
				return err
			}
		}
		return nil
	}))(t)
	for range 10 {
		if err := g.Replay(); err != nil {
			t.Fatal(err)
		}
	}
	return func() {}
}

func TestSyncContextGivesUp(t *testing.T) {
	d := testDevice(t)
	if err := errors.Join(d.Sync(), d.SyncContext(t.Context())); err != nil {
		t.Fatal(err)
	}
	end := keepBusy(t, d)
	*d.faults.record = fault{state: faultComplete, stage: 3, code: faultExpert, token: 5, slot: 1, value: 9, limit: 8}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	start := time.Now()
	if err := d.SyncContext(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a wait of 20 ms for work of half a second: %v after %v, want %v", err, time.Since(start), context.DeadlineExceeded)
	}
	if took := time.Since(start); took > 250*time.Millisecond {
		t.Errorf("a wait of 20 ms took %v", took)
	}
	end()
	if err := d.SyncContext(t.Context()); !errors.Is(err, backend.ErrExpertID) {
		t.Errorf("the wait for the end reports %v, want what a kernel found", err)
	}
	if err := d.SyncContext(t.Context()); err != nil {
		t.Errorf("a wait for nothing: %v", err)
	}
	if _, err := Capture(d, func() error { return d.SyncContext(t.Context()) }); !errors.Is(err, ErrCapturing) {
		t.Errorf("a wait in a capture: %v, want %v", err, ErrCapturing)
	}
}

const endlessVariable = "MOE_TEST_ENDLESS" // set in a process that is to be killed

// TestEndlessRuns runs a layer until its process is killed.
func TestEndlessRuns(t *testing.T) {
	if os.Getenv(endlessVariable) == "" {
		t.Skip("this test is the program of another")
	}
	d := testDevice(t)
	held := must(d.New(tensor.Byte, tensor.Shape{1 << 30}))(t)
	l, x := newLayer(t, layers.FusionAuto)
	m := must(newTaped(must(l.To(d))(t), must(d.Upload(x))(t)))(t)
	for i := 0; ; i++ {
		if err := m.run(); err != nil {
			t.Fatal(err)
		}
		if i == 100 {
			fmt.Println("running with", held.Shape())
		}
	}
}

// TestKilledProcessLeavesNothing kills a process in the middle of its runs.
func TestKilledProcessLeavesNothing(t *testing.T) {
	d := computingDevice(t)
	free := func() int64 { return must(d.Memory())(t).Free }
	before := free()
	program := exec.Command(os.Args[0], "-test.run=^TestEndlessRuns$")
	program.Env = append(os.Environ(), endlessVariable+"=1")
	out := must(program.StdoutPipe())(t)
	if err := program.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	during := free()
	if err := errors.Join(err, program.Process.Kill()); err != nil {
		t.Fatal(err)
	}
	if err := program.Wait(); err == nil {
		t.Error("the program ended by itself")
	}
	if before-during < 1<<30 {
		t.Errorf("%d bytes are free while the program runs (%q), before %d", during, line, before)
	}
	for end := time.Now().Add(10 * time.Second); free() < before-32<<20; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%d bytes are free ten seconds after the program was killed, before %d", free(), before)
		}
	}
}
