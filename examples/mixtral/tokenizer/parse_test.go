package tokenizer

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
)

func TestParseRefuses(t *testing.T) {
	const (
		normalizer = `"normalizer": {"type": "Sequence", "normalizers": [
		{"type": "Prepend", "prepend": "▁"}, {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}]}`
		strip     = `{"type": "Strip", "content": " ", "start": 1, "stop": 0}`
		replace   = `{"type": "Replace", "pattern": {"String": "▁"}, "content": " "}`
		template  = `{"SpecialToken": {"id": "<s>", "type_id": 0}}`
		sequenceA = `{"Sequence": {"id": "A", "type_id": 0}}`
		flags     = `"single_word": false, "lstrip": true, "rstrip": false, "normalized": false, "special": false`
		pre       = `"pre_tokenizer": null`
	)
	long := strings.Repeat("a", maxLiteral+1)
	for name, c := range map[string]struct {
		old, new string // of tinyFile
		want     error
		says     string
	}{
		"version":                  {`"1.0"`, `"2.0"`, ErrUnsupported, "2.0"},
		"unknown field":            {pre, `"speed": 3`, ErrUnsupported, `"speed"`},
		"truncation":               {pre, `"truncation": {"max_length": 5}`, ErrUnsupported, `"truncation"`},
		"padding":                  {pre, `"padding": {}`, ErrUnsupported, `"padding"`},
		"no model":                 {`"model"`, `"Model"`, ErrInvalid, `"model" is missing`},
		"field twice":              {pre, `"version": "1.0"`, ErrInvalid, `"version" is there twice`},
		"more data":                {"\n}", "\n} {}", ErrInvalid, ""},
		"cut off":                  {"\n}", "", ErrInvalid, ""},
		"lone high surrogate":      {`"a": 5`, `"\ud800": 5`, ErrInvalid, "surrogate"},
		"lone low surrogate":       {`"a": 5`, `"\uDC00\uD800": 5`, ErrInvalid, "surrogate"},
		"high, then no low":        {`"a": 5`, `"\ud83dxuDE42": 5`, ErrInvalid, "surrogate"},
		"invalid UTF-8":            {`"a": 5`, "\"\xff\": 5", ErrInvalid, "UTF-8"},
		"model type":               {`"type": "BPE"`, `"type": "Unigram"`, ErrUnsupported, `"Unigram"`},
		"model type missing":       {`"type": "BPE", `, ``, ErrInvalid, `"type" is missing`},
		"model type a number":      {`"type": "BPE"`, `"type": 7`, ErrInvalid, `a number, want a string`},
		"model field":              {`"fuse_unk": true`, `"fuse": 1`, ErrUnsupported, `"fuse"`},
		"dropout":                  {`"fuse_unk": true`, `"dropout": 0.1`, ErrUnsupported, "dropout 0.1"},
		"prefix":                   {`"fuse_unk": true`, `"continuing_subword_prefix": "##"`, ErrUnsupported, "continuing_subword_prefix"},
		"suffix":                   {`"fuse_unk": true`, `"end_of_word_suffix": "</w>"`, ErrUnsupported, "end_of_word_suffix"},
		"flag a string":            {`"fuse_unk": true`, `"fuse_unk": "true"`, ErrInvalid, `"fuse_unk"`},
		"empty unk_token":          {`"unk_token": "<unk>"`, `"unk_token": ""`, ErrInvalid, "unk_token"},
		"vocab missing":            {`"vocab"`, `"vocabulary"`, ErrInvalid, `"vocab" is missing`},
		"id negative":              {`"a": 5`, `"a": -5`, ErrInvalid, "-5"},
		"id huge":                  {`"a": 5`, `"a": 2147483648`, ErrInvalid, "2147483648"},
		"id of many digits":        {`"a": 5`, `"a": 1` + strings.Repeat("0", 1000), ErrInvalid, "1000"},
		"id a fraction":            {`"a": 5`, `"a": 5.0`, ErrInvalid, "5.0"},
		"id a string":              {`"a": 5`, `"a": "5"`, ErrInvalid, `"a"`},
		"id an object":             {`"a": 5`, `"a": {"b": 5}`, ErrInvalid, `"a"`},
		"id twice":                 {`"a": 5`, `"a": 6`, ErrInvalid, "share the id 6"},
		"token twice":              {`"a": 5`, `"a": 5, "a": 99`, ErrInvalid, "ids 5 and 99"},
		"merges missing":           {`"merges"`, `"type": "BPE", "m"`, ErrInvalid, "twice"},
		"merge left unknown":       {`"a b"`, `"q b"`, ErrInvalid, `"q"`},
		"merge right unknown":      {`"a b"`, `"a q"`, ErrInvalid, `"q"`},
		"merge result unknown":     {`"a b"`, `"a c"`, ErrInvalid, `"ac"`},
		"merge of one":             {`"a b"`, `"ab"`, ErrInvalid, "want 2"},
		"merge of three":           {`"a b"`, `"a b c"`, ErrInvalid, "want 2"},
		"merge of nothing":         {`"a b"`, `" b"`, ErrInvalid, `""`},
		"merge forms mixed":        {`"a b"`, `["a", "b"]`, ErrInvalid, "merges"},
		"merge null":               {`"a b"`, `null`, ErrInvalid, "want 2"},
		"merges an object":         {`["a b", "▁ ab", "b c", "ab c"]`, `{}`, ErrInvalid, "an object"},
		"merge pair too long":      {`["a b", "▁ ab", "b c", "ab c"]`, `[["a", "b", "c"]]`, ErrInvalid, "got 3"},
		"merge pair with null":     {`["a b", "▁ ab", "b c", "ab c"]`, `[["a", null]]`, ErrInvalid, `""`},
		"added field missing":      {`"lstrip": true, `, ``, ErrInvalid, `"lstrip" is missing`},
		"added field unknown":      {`"lstrip": true`, `"lstrip": true, "loud": true`, ErrUnsupported, `"loud"`},
		"added a string":           {`{"id": 12, "content": "<x>", ` + flags + `}`, `"<x>"`, ErrInvalid, "added_tokens[2]"},
		"added id of another":      {`"id": 12`, `"id": 5`, ErrInvalid, "want id 12"},
		"added id past the next":   {`"id": 12`, `"id": 13`, ErrInvalid, "want id 12"},
		"added id not the model's": {`"id": 1,`, `"id": 11,`, ErrInvalid, "want id 1"},
		"added id negative":        {`"id": 12`, `"id": -12`, ErrInvalid, "-12"},
		"added twice": {`{"id": 12`, `{"id": 12, "content": "<x>", ` + flags + `}, {"id": 13`, ErrInvalid,
			`"<x>" is there twice`},
		"added id in a gap":     {`"a": 5`, `"a": 12`, ErrInvalid, "share the id 12"},
		"added token long":      {`"<x>"`, `"` + long + `"`, ErrInvalid, "1025 bytes"},
		"normalizer type":       {`"Prepend"`, `"NFC"`, ErrUnsupported, `$.normalizer.normalizers[0]: type "NFC"`},
		"normalizer no type":    {`"type": "Prepend", `, ``, ErrInvalid, `"type" is missing`},
		"normalizer a string":   {normalizer, `"normalizer": "Prepend"`, ErrInvalid, "$.normalizer"},
		"normalizer long":       {`"prepend": "▁"`, `"prepend": "` + long + `"`, ErrInvalid, "1025 bytes"},
		"prepend field":         {`"prepend": "▁"`, `"prepend": "▁", "twice": true`, ErrUnsupported, `"twice"`},
		"replace regex":         {`{"String": " "}`, `{"Regex": " "}`, ErrUnsupported, `"Regex"`},
		"replace both":          {`{"String": " "}`, `{"String": " ", "Regex": " "}`, ErrUnsupported, `"Regex"`},
		"replace nothing":       {`{"String": " "}`, `{"String": ""}`, ErrUnsupported, "no string to find"},
		"replace empty pattern": {`{"String": " "}`, `{}`, ErrUnsupported, "no string to find"},
		"replace plain string":  {`{"String": " "}`, `" "`, ErrInvalid, "$.normalizer.normalizers[1].pattern"},
		"pre_tokenizer type":    {pre, `"pre_tokenizer": {"type": "ByteLevel"}`, ErrUnsupported, `"ByteLevel"`},
		"metaspace scheme":      {pre, `"pre_tokenizer": {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "last"}`, ErrUnsupported, `"last"`},
		"metaspace two chars":   {pre, `"pre_tokenizer": {"type": "Metaspace", "replacement": "▁▁"}`, ErrInvalid, "one character"},
		"metaspace no chars":    {pre, `"pre_tokenizer": {"type": "Metaspace", "replacement": ""}`, ErrInvalid, "one character"},
		"metaspace at odds":     {pre, `"pre_tokenizer": {"type": "Metaspace", "replacement": "▁", "add_prefix_space": false, "prepend_scheme": "always"}`, ErrInvalid, "add_prefix_space"},
		"post_processor type":   {`"TemplateProcessing"`, `"ByteLevel"`, ErrUnsupported, `"ByteLevel"`},
		"template without A":    {sequenceA, template, ErrInvalid, "sequence A is missing"},
		"template with B":       {sequenceA, `{"Sequence": {"id": "B", "type_id": 0}}`, ErrInvalid, `"B"`},
		"template A twice":      {sequenceA, sequenceA + "," + sequenceA, ErrInvalid, `"A"`},
		"template odd piece":    {template, `{"Word": {}}`, ErrInvalid, `"SpecialToken" is missing`},
		"template token":        {template, `{"SpecialToken": {"id": "<t>", "type_id": 0}}`, ErrInvalid, `"<t>" is missing`},
		"template id unknown":   {`"ids": [1]`, `"ids": [13]`, ErrInvalid, "no token has the id 13"},
		"template id negative":  {`"ids": [1]`, `"ids": [-1]`, ErrInvalid, "-1"},
		"template long":         {`"ids": [1]`, `"ids": [1` + strings.Repeat(",1", maxTemplate) + `]`, ErrTooLarge, "1024"},
		"decoder type":          {strip, `{"type": "CTC"}`, ErrUnsupported, `$.decoder.decoders[3]: type "CTC"`},
		"strip two chars":       {`"Strip", "content": " "`, `"Strip", "content": "  "`, ErrInvalid, "one character"},
		"strip negative":        {`"stop": 0`, `"stop": -1`, ErrInvalid, "-1"},
		"decoder growth": {strip, strings.Repeat(`{"type": "Replace", "pattern": {"String": "a"}, "content": "aa"},`, 7) + strip,
			ErrTooLarge, "64 times"},
		"steps": {replace, strings.Repeat(replace+",", maxSteps) + replace, ErrTooLarge, "64 steps"},
		"nested sequences": {normalizer, `"normalizer": ` + strings.Repeat(`{"type": "Sequence", "normalizers": [`, 10) +
			strings.Repeat(`]}`, 10), ErrTooLarge, "8 deep"},
		"nested arrays":  {pre, `"pre_tokenizer": ` + strings.Repeat("[", 1e5) + strings.Repeat("]", 1e5), ErrInvalid, ""},
		"nested objects": {`"a b"`, strings.Repeat(`{"a":`, 1e5) + "1" + strings.Repeat("}", 1e5), ErrInvalid, ""},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Parse([]byte(changed(t, c.old, c.new)))
			if !errors.Is(err, c.want) || err != nil && !strings.Contains(err.Error(), c.says) {
				t.Errorf("Parse = %v; want %v that says %q", err, c.want, c.says)
			}
			if err != nil && len(err.Error()) > 500 {
				t.Errorf("an error of %d bytes", len(err.Error()))
			}
		})
	}
}

// Of two added tokens that the normalizer makes equal neither is the right one to find. One that it leaves nothing of is
// not found.
func TestParseNormalizedAddedTokens(t *testing.T) {
	added := func(id int, content string) string {
		return fmt.Sprintf(`{"id": %d, "content": %q, "single_word": false, "lstrip": false, "rstrip": false,
			"normalized": true, "special": false},`, id, content)
	}
	const first = `{"id": 12, "content": "<x>"`
	prepend := `{"type": "Prepend", "prepend": "▁"}`
	erase := `{"type": "Replace", "pattern": {"String": "gone"}, "content": ""}`
	tok := tiny(t, first, added(12, "gone")+strings.Replace(first, "12", "13", 1), prepend, erase)
	ids, err := tok.Encode("agonea", false)
	if want := []int32{5, 5}; err != nil || !slices.Equal(ids, want) {
		t.Errorf("Encode = %v, %v; want %v", ids, err, want)
	}
	if text, err := tok.Decode([]int32{5, 12, 5}, false); err != nil || text != "aa" {
		t.Errorf("Decode = %q, %v; want aa", text, err)
	}
	_, err = Parse([]byte(changed(t, first, added(12, "x y")+added(13, "x▁y")+strings.Replace(first, "12", "14", 1))))
	if !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), "match the same text") {
		t.Errorf("two equal ones: %v", err)
	}
}

func TestParseAccepts(t *testing.T) {
	for name, changes := range map[string][]string{
		"as it is":             nil,
		"escaped surrogates":   {`"<0xA9>": 3`, `"\ud83d\uDE42": 3`},
		"escaped backslash":    {`"<0xA9>": 3`, `"\\ud800": 3`},
		"unknown field null":   {`"pre_tokenizer": null`, `"speed": null`},
		"no dropout":           {`"fuse_unk": true`, `"dropout": 0.0`},
		"empty affixes":        {`"fuse_unk": true`, `"continuing_subword_prefix": "", "end_of_word_suffix": null`},
		"version heading":      {`"a b"`, `"#version: 0.2", "a b"`},
		"no merges":            {`["a b", "▁ ab", "b c", "ab c"]`, `[]`},
		"highest id":           {`"a": 5`, `"a": 2147483647`},
		"empty added token":    {`"<x>"`, `""`},
		"Metaspace never":      {`"pre_tokenizer": null`, `"pre_tokenizer": {"type": "Metaspace", "replacement": "▁", "add_prefix_space": false}`},
		"eight deep sequences": {`"pre_tokenizer": null`, `"pre_tokenizer": ` + strings.Repeat(`{"type": "Sequence", "pretokenizers": [`, 8) + strings.Repeat(`]}`, 8)},
	} {
		t.Run(name, func(t *testing.T) { tiny(t, changes...) })
	}
}
