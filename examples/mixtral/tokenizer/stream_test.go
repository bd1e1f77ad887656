package tokenizer

import (
	"errors"
	"testing"
)

func TestStreamHoldsBack(t *testing.T) {
	s := tiny(t).NewStream(true)
	for i, step := range []struct {
		id   int32
		text string
	}{
		{1, ""}, {9, "ab"}, {4, " "}, {2, ""}, {3, ""}, {5, "éa"}, {2, ""}, {6, "\uFFFDb"}, {1, ""}, {2, ""},
	} {
		if text, err := s.Push(step.id); err != nil || text != step.text {
			t.Errorf("step %d: Push(%d) = %q, %v; want %q", i, step.id, text, err, step.text)
		}
	}
	if text := s.Flush(); text != "\uFFFD" {
		t.Errorf("Flush = %q, want the incomplete character as U+FFFD", text)
	}
	if text := s.Flush(); text != "" {
		t.Errorf("Flush at the beginning = %q", text)
	}
	if text, err := s.Push(9); err != nil || text != "ab" {
		t.Errorf("Push after Flush = %q, %v; want the leading space stripped again", text, err)
	}
}

func TestStreamUnknownID(t *testing.T) {
	s := tiny(t).NewStream(false)
	if _, err := s.Push(2); err != nil {
		t.Fatal(err)
	}
	if text, err := s.Push(13); !errors.Is(err, ErrUnknownID) || text != "" {
		t.Errorf("Push(13) = %q, %v; want ErrUnknownID", text, err)
	}
	if text, err := s.Push(3); err != nil || text+s.Flush() != "é" {
		t.Errorf("after the error: %q, %v; want é", text, err)
	}
}
