package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/gorgonia/moe/examples/mixtral/tokenizer"
)

// continueText prints what the model says after a prompt, token by token.
func (a *app) continueText(ctx context.Context, m *model) error {
	t, err := m.folder.tokenizer()
	if err != nil {
		return err
	}
	if err := m.checkTokenizer(t); err != nil {
		return err
	}
	prompt, err := a.encodePrompt(m.folder, t)
	if err != nil {
		return err
	}
	if err := m.checkIDs(prompt); err != nil {
		return err
	}
	n := min(a.n, m.Config.MaxPositions-len(prompt))
	g, err := newGeneration(m, len(prompt)+n, a.sampler(), a.countsLoad())
	if err != nil {
		return err
	}
	ended, err := a.stream(ctx, m, t, g, prompt, n)
	if err == nil && !ended && n < a.n {
		fmt.Fprintf(a.stderr, "the context of %d tokens is full\n", m.Config.MaxPositions)
	}
	return a.finish(g, err)
}

// encodePrompt reads the prompt and makes ids of it.
func (a *app) encodePrompt(f folder, t *tokenizer.Tokenizer) ([]int32, error) {
	text, err := a.input(a.text)
	if err != nil {
		return nil, err
	}
	if a.text == "-" {
		text = strings.TrimSuffix(strings.TrimSuffix(text, "\n"), "\r")
	}
	ids, err := t.Encode(text, true)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", f.path(tokenizerName), err)
	}
	return ids, nil
}

// stream runs the prompt and prints the text of up to n tokens that follow it, then a line break. It reports whether the
// model ended the text.
func (a *app) stream(ctx context.Context, m *model, t *tokenizer.Tokenizer, g *generation, prompt []int32, n int) (ended bool, err error) {
	words, err := newContinuation(t, prompt)
	if err != nil {
		return false, err
	}
	if _, err := g.read(ctx, prompt, false); err != nil {
		return false, err
	}
	var failed error
	for id, err := range g.tokens(ctx, n) {
		if failed = err; err != nil {
			break
		}
		if ended = slices.Contains(m.Config.EOS, int(id)); ended {
			break
		}
		text, err := words.push(id)
		if err != nil {
			failed = fmt.Errorf("%s: %w", m.folder.path(tokenizerName), err)
			break
		}
		if _, err := io.WriteString(a.stdout, text); err != nil {
			return false, err
		}
	}
	if _, err := fmt.Fprintln(a.stdout, words.flush()); err != nil {
		return false, err
	}
	return ended, failed
}

// tokenize prints the ids of a text.
func (a *app) tokenize() error {
	f := folder(a.model)
	t, err := f.tokenizer()
	if err != nil {
		return err
	}
	text, err := a.input(a.text)
	if err != nil {
		return err
	}
	ids, err := t.Encode(text, true)
	if err != nil {
		return fmt.Errorf("%s: %w", f.path(tokenizerName), err)
	}
	return a.printIDs(ids)
}

// detokenize prints the text of ids, without special tokens.
func (a *app) detokenize() error {
	f := folder(a.model)
	t, err := f.tokenizer()
	if err != nil {
		return err
	}
	ids, err := a.givenIDs()
	if err != nil {
		return err
	}
	text, err := t.Decode(ids, true)
	if err != nil {
		return fmt.Errorf("%s: %w", f.path(tokenizerName), err)
	}
	_, err = fmt.Fprintln(a.stdout, text)
	return err
}
