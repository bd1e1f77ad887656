package cpu

// state is what chunks up to one come to: the greatest score, the sum of weights relative to it and the mix by them.
type state struct {
	most, total float32
	mix         []float32
}

// add merges the state of the next chunk into s.
func (s *state) add(next state, scale float32) {
	most := max(s.most, next.most)
	old := float32(expf(float64(scale * (s.most - most))))
	fresh := float32(expf(float64(scale * (next.most - most))))
	s.most, s.total = most, s.total*old+next.total*fresh
	for i, x := range next.mix {
		s.mix[i] = s.mix[i]*old + x*fresh
	}
}

// mergeChunk merges a chunk into what the ones before came to.
func (a *attending[E]) mergeChunk(t *attendTask, chunk int) {
	rows := 0
	for token := t.t0; token < t.t1; token++ {
		from, _ := a.seen(token)
		lo, hi := a.within(token, chunk)
		for range (t.g1 - t.g0) * a.perGroup {
			i, mix, sums := 2*rows, t.mixed[rows*a.d:][:a.d], t.sums[rows*a.d:][:a.d]
			rows++
			if lo >= hi {
				continue
			}
			if chunk == from/chunkPositions {
				t.most[i+1], t.totals[i+1] = t.most[i], t.totals[i]
				copy(sums, mix)
				continue
			}
			s := state{t.most[i+1], t.totals[i+1], sums}
			s.add(state{t.most[i], t.totals[i], mix}, a.scale)
			t.most[i+1], t.totals[i+1] = s.most, s.total
		}
	}
}

// finish writes a task's rows.
func (a *attending[E]) finish(t *attendTask) {
	rows := 0
	for token := t.t0; token < t.t1; token++ {
		for h := t.g0 * a.perGroup; h < t.g1*a.perGroup; h++ {
			a.write(t.vectorWork, token*a.heads+h, t.sums[rows*a.d:][:a.d], t.totals[2*rows+1])
			rows++
		}
	}
}

// write divides a head's sums by the total and stores them. The sums are changed.
func (a *attending[E]) write(work *vectorWork, head int, sums []float32, total float32) {
	for i := range sums {
		sums[i] /= total
	}
	if a.split {
		work.ordered = grown(work.ordered, a.d)
		a.v.fromSplit(work.ordered, sums)
		sums = work.ordered
	}
	if a.out.f32 != nil {
		copy(a.out.f32[head*a.d:], sums)
		return
	}
	a.k.narrow(&a.out.bf16[head*a.d], &sums[0], a.d)
}

// part is the place of a chunk of a head in parts.
func (a *attending[E]) part(head, chunk int) []float32 {
	return a.parts[(head*a.chunkParts+chunk)*(a.d+2):][:a.d+2]
}

// keep stores what a task's rows came to for a chunk.
func (a *attending[E]) keep(t *attendTask, chunk int) {
	rows := 0
	for token := t.t0; token < t.t1; token++ {
		for h := t.g0 * a.perGroup; h < t.g1*a.perGroup; h++ {
			part := a.part(token*a.heads+h, chunk)
			part[0], part[1] = t.most[2*rows], t.totals[2*rows]
			copy(part[2:], t.mixed[rows*a.d:][:a.d])
			rows++
		}
	}
}

// merging is the loop over heads that merges their chunks.
type merging[E row] struct{ *attending[E] }

func (m *merging[E]) span(lo, hi int) {
	a := m.attending
	work := vectorWorks.Get().(*vectorWork)
	defer vectorWorks.Put(work)
	for head := lo; head < hi; head++ {
		from, to := a.seen(head / a.heads)
		first, last := from/chunkPositions-a.firstChunk, (to-1)/chunkPositions-a.firstChunk
		part := a.part(head, first)
		s := state{part[0], part[1], part[2:]}
		for c := first + 1; c <= last; c++ {
			next := a.part(head, c)
			s.add(state{next[0], next[1], next[2:]}, a.scale)
		}
		a.write(work, head, s.mix, s.total)
	}
}
