package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/gorgonia/moe/examples/mixtral/checkpoint"
	"github.com/gorgonia/moe/examples/mixtral/decoder"
)

// continueIDs prints given ids and n that follow them, and dumps logits if that is asked for.
func (a *app) continueIDs(ctx context.Context, m *model) error {
	ids, err := a.givenIDs()
	if err != nil {
		return err
	}
	if err := m.checkIDs(ids); err != nil {
		return err
	}
	if a.n > m.Config.MaxPositions-len(ids) {
		return fmt.Errorf("%d ids and -n %d exceed the context of %s, %d (max_position_embeddings): %w",
			len(ids), a.n, m.folder.path(checkpoint.ConfigName), m.Config.MaxPositions, decoder.ErrContext)
	}
	g, err := newGeneration(m, len(ids)+a.n, a.sampler(), a.countsLoad())
	if err != nil {
		return err
	}
	return a.finish(g, a.extend(ctx, g, ids))
}

// extend runs ids and those that follow, prints all and writes the dump.
func (a *app) extend(ctx context.Context, g *generation, ids []int32) error {
	logits, err := g.read(ctx, ids, a.dump != "")
	if err != nil {
		return err
	}
	for id, err := range g.tokens(ctx, a.n) {
		if err != nil {
			return err
		}
		ids = append(ids, id)
	}
	if a.dump != "" {
		if err := writeDump(a.dump, logits, g.vocab, ids); err != nil {
			return err
		}
	}
	return a.printIDs(ids)
}

// givenIDs reads the ids of -ids or -detokenize.
func (a *app) givenIDs() ([]int32, error) {
	text, err := a.input(a.ids)
	if err != nil {
		return nil, err
	}
	ids, err := parseIDs(text)
	if err != nil {
		return nil, fmt.Errorf("-%s: %w", a.mode, err)
	}
	return ids, nil
}

// parseIDs reads token ids: integers with commas between them, in the brackets that -tokenize prints or without.
func parseIDs(text string) ([]int32, error) {
	list := strings.TrimSpace(text)
	if inner, ok := strings.CutPrefix(list, "["); ok {
		if list, ok = strings.CutSuffix(inner, "]"); !ok {
			return nil, errors.New("token ids begin with [ but do not end with ]")
		}
		if strings.TrimSpace(list) == "" {
			return nil, nil
		}
	}
	var ids []int32
	for field := range strings.SplitSeq(list, ",") {
		id, err := strconv.ParseUint(strings.TrimSpace(field), 10, 31)
		if err != nil {
			return nil, fmt.Errorf("%.40q is no token id, want integers from 0 with commas between them", field)
		}
		ids = append(ids, int32(id))
	}
	return ids, nil
}

// printIDs prints ids as a JSON array.
func (a *app) printIDs(ids []int32) error {
	if ids == nil {
		ids = []int32{} // [], not null
	}
	return json.NewEncoder(a.stdout).Encode(ids)
}
