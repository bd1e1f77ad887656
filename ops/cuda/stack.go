//go:build cu && linux && cgo

package cuda

import (
	"fmt"
	"runtime"
	"sync"
	"unsafe"
	"weak"

	"gorgonia.org/tensor"

	"github.com/gorgonia/moe/ops/backend"
)

// stackTable says on the device where the blocks of an ExpertStack lie: the first row of each of an expert's B blocks and the
// number of rows, then the addresses of the blocks, expert by expert. All are int64.
type stackTable struct {
	array  *Array // (B+1 + E·B); it keeps the blocks' memory
	blocks []*reference
	perE   int // B
}

// addresses is where the addresses of the blocks begin.
func (s *stackTable) addresses() uint64 {
	return uint64(s.array.block.Address + uintptr(8*(s.perE+1)))
}

// stackTables are made once for each stack and live as long as it.
type stackTables struct {
	mu     sync.Mutex
	tables map[weak.Pointer[backend.ExpertStack]]*stackTable
}

// of gives the table of a stack whose blocks are Arrays of the device, nil after an error.
func (s *stackTables) of(c *call, stack *backend.ExpertStack) *stackTable {
	key := weak.Make(stack)
	t := s.find(key)
	if t == nil {
		made, err := c.dev.newStackTable(stack)
		if err != nil {
			c.err = fmt.Errorf("%s: w: %w", c.stage, err)
			return nil
		}
		if t = s.keep(key, made); t == made {
			runtime.AddCleanup(stack, s.drop, key)
		}
	}
	for i, r := range t.blocks {
		if r.closed() {
			c.fail("block %d of expert %d of w", i%t.perE, i/t.perE, ErrClosed)
		}
	}
	return t
}

func (s *stackTables) find(key weak.Pointer[backend.ExpertStack]) *stackTable {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.tables[key]
}

// keep makes t the table of a stack, unless another goroutine was first, whose table it gives then.
func (s *stackTables) keep(key weak.Pointer[backend.ExpertStack], t *stackTable) *stackTable {
	s.mu.Lock()
	defer s.mu.Unlock()
	if first := s.tables[key]; first != nil {
		t.array.Close()
		return first
	}
	if s.tables == nil {
		s.tables = make(map[weak.Pointer[backend.ExpertStack]]*stackTable)
	}
	s.tables[key] = t
	return t
}

func (s *stackTables) drop(key weak.Pointer[backend.ExpertStack]) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tables[key].array.Close()
	delete(s.tables, key)
}

func (d *Device) newStackTable(stack *backend.ExpertStack) (*stackTable, error) {
	experts := stack.Shape()[0]
	first := stack.Expert(0)
	t := &stackTable{perE: len(first)}
	table, row := []int64{0}, 0
	for _, b := range first {
		row += b.Shape()[0]
		table = append(table, int64(row))
	}
	release := func() {
		for _, r := range t.blocks {
			r.release()
		}
	}
	for e := range experts {
		for i, b := range stack.Expert(e) {
			a, ok := b.(*Array)
			if !ok || a.device != d {
				release()
				return nil, fmt.Errorf("block %d of expert %d is no array of %v: %w", i, e, d, backend.ErrDevice)
			}
			if !a.acquire() {
				release()
				return nil, fmt.Errorf("block %d of expert %d: %w", i, e, ErrClosed)
			}
			t.blocks = append(t.blocks, a.reference)
			if err := a.inMemory(); err != nil {
				release()
				return nil, fmt.Errorf("block %d of expert %d: %w", i, e, err)
			}
			table = append(table, int64(a.block.Address))
		}
	}
	var err error
	if t.array, err = d.newArray(tensor.Int64, tensor.Shape{len(table)}); err == nil {
		err = t.array.write(unsafe.Slice((*byte)(unsafe.Pointer(&table[0])), 8*len(table)))
	}
	if err != nil {
		release()
		return nil, err
	}
	t.array.keeps = t.blocks
	return t, nil
}
