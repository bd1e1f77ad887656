//go:build cu && linux && cgo

package cuda

import (
	"errors"
	"fmt"
	"runtime"
	"sync"

	"github.com/gorgonia/moe/ops/backend"
)

// Graph is work that was recorded once and can be run again at a small part of the cost of queueing it: about a microsecond a
// kernel. It reads and writes the Arrays that the recorded calls read and wrote, and keeps their memory until it is closed or
// unreachable, also if they are closed.
type Graph struct {
	state   *graphState
	cleanup runtime.Cleanup
}

type graphState struct {
	mu     sync.Mutex
	device *Device
	exec   execGraph
	held   []*reference
	closed bool
}

// Capture records what run queues on the device instead of computing it: the Arrays that run's calls return are filled by
// Replay. run may be a whole graph of Gorgonia's (machine.RunAll), with all inputs on the device. Give it new inputs by
// Array.CopyFrom before a Replay.
//
// Meanwhile nothing can be copied between host and device, waited for or printed (ErrCapturing), and nobody else may use the
// device: what other goroutines queue becomes part of the Graph. One Capture at a time can be under way on a device.
// Shapes, and all that run decides on the host, are as they were. An error of run is returned and leaves no Graph. The table
// of a backend.ExpertStack is copied to the device when a product first uses it, so such a run has to run once before.
func Capture(d *Device, run func() error) (*Graph, error) {
	r := &recording{held: make(map[*reference]struct{})}
	if !d.recording.CompareAndSwap(nil, r) {
		return nil, fmt.Errorf("%v: capture: %w", d, ErrCapturing)
	}
	g := &graphState{device: d}
	err := d.do("capture", func() error { return beginCapture(d.stream) })
	if err != nil {
		d.recording.Store(nil)
		return nil, err
	}
	err = protect(run)
	err = errors.Join(err, d.do("capture", func() (err error) {
		g.exec, err = endCapture(d.stream)
		return err
	}))
	d.recording.Store(nil)
	g.held = r.all()
	if err != nil {
		return nil, errors.Join(err, g.close())
	}
	graph := &Graph{state: g}
	graph.cleanup = runtime.AddCleanup(graph, func(g *graphState) { g.close() }, g)
	return graph, nil
}

// protect makes an error of a panic, so that the recording is ended.
func protect(run func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("cuda: capture: panic: %v: %w", p, backend.ErrValue)
		}
	}()
	return run()
}

// Replay queues the recorded work once more. Like any work it runs after what was queued before, and Sync or Download wait
// for it.
func (g *Graph) Replay() error {
	s := g.state
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return fmt.Errorf("%v: replay: graph %w", s.device, ErrClosed)
	}
	if s.device.recording.Load() != nil {
		return fmt.Errorf("%v: replay: %w", s.device, ErrCapturing)
	}
	return s.device.do("replay", func() error { return launchGraph(s.exec, s.device.stream) })
}

// Close frees what the Graph holds without waiting for the garbage collector. Replays that are queued still run.
func (g *Graph) Close() error {
	g.cleanup.Stop()
	return g.state.close()
}

func (s *graphState) close() (err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil
	}
	s.closed = true
	if s.exec != nil {
		err = s.device.do("close a graph", func() error { return destroyGraph(s.exec) })
	}
	for _, r := range s.held {
		r.release()
	}
	s.held = nil
	return err
}

// recording collects the references that recorded calls use.
type recording struct {
	mu   sync.Mutex
	held map[*reference]struct{}
}

// hold adds references, which the caller holds too.
func (r *recording) hold(references []*reference) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, ref := range references {
		if _, ok := r.held[ref]; !ok {
			ref.share()
			r.held[ref] = struct{}{}
		}
	}
}

// all lists the references. The recording is over.
func (r *recording) all() []*reference {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := make([]*reference, 0, len(r.held))
	for ref := range r.held {
		out = append(out, ref)
	}
	return out
}
