package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const bf16Model = "testdata/golden/public-bf16-sharded"

// damaged copies a checkpoint, changes the copy, and returns its folder.
func damaged(t *testing.T, dir string, change func(dir string)) string {
	t.Helper()
	to := copyOf(t, dir)
	change(to)
	return to
}

func TestCheckpointErrors(t *testing.T) {
	remove := func(name string) func(string) {
		return func(dir string) {
			if err := os.Remove(filepath.Join(dir, name)); err != nil {
				t.Fatal(err)
			}
		}
	}
	config := func(from, to string) func(string) {
		return func(dir string) { edit(t, filepath.Join(dir, "config.json"), from, to) }
	}
	const f32 = "testdata/golden/public-f32"
	ids, prompt := []string{"-ids", "5,6,7", "-n", "1"}, []string{"-prompt", "Hello", "-n", "1"}
	for name, c := range map[string]struct {
		model  string
		change func(dir string)
		args   []string
		want   []string // parts of the message; the folder comes on top
	}{
		"no config":        {f32, remove("config.json"), ids, []string{"config.json"}},
		"no weights":       {f32, remove("model.safetensors"), ids, []string{"model.safetensors"}},
		"no shard":         {bf16Model, remove("model-00002-of-00002.safetensors"), ids, []string{"model-00002-of-00002.safetensors"}},
		"no tokenizer":     {f32, remove("tokenizer.json"), prompt, []string{"tokenizer.json"}},
		"truncated shard":  {bf16Model, truncate(t, "model-00002-of-00002.safetensors", 2_000_000), ids, []string{"model-00002-of-00002.safetensors", "truncated", "1994336"}},
		"truncated header": {f32, truncate(t, "model.safetensors", 100), ids, []string{"model.safetensors"}},
		"empty weights":    {f32, truncate(t, "model.safetensors", 0), ids, []string{"model.safetensors"}},
		"empty config":     {f32, truncate(t, "config.json", 0), ids, []string{"config.json"}},
		"architecture":     {f32, config(`"MixtralForCausalLM"`, `"LlamaForCausalLM"`), ids, []string{"config.json", "LlamaForCausalLM"}},
		"family":           {f32, config(`"model_type": "mixtral"`, `"model_type": "qwen3_moe"`), ids, []string{"config.json", "qwen3_moe"}},
		"tensor's shape":   {f32, config(`"hidden_size": 64`, `"hidden_size": 72`), ids, []string{"model.safetensors", "64", "72"}},
		"vocabulary":       {f32, swapTokenizer(t), prompt, []string{"vocabulary", "tokenizer.json", "31999", "config.json", "600"}},
		"broken tokenizer": {f32, truncate(t, "tokenizer.json", 1000), prompt, []string{"tokenizer.json"}},
	} {
		t.Run(name, func(t *testing.T) {
			dir := damaged(t, c.model, c.change)
			status, stdout, stderr := call(t, "", append(c.args, "-model", dir)...)
			if status != exitError || stdout != "" {
				t.Errorf("status %d, stdout %q", status, stdout)
			}
			checkLine(t, stderr, append(c.want, dir)...)
		})
	}
}

func truncate(t *testing.T, name string, size int64) func(string) {
	return func(dir string) {
		if err := os.Truncate(filepath.Join(dir, name), size); err != nil {
			t.Fatal(err)
		}
	}
}

// swapTokenizer puts Mixtral 8x7B's tokenizer beside the weights.
func swapTokenizer(t *testing.T) func(string) {
	return func(dir string) {
		text, err := os.ReadFile("testdata/golden/mixtral-8x7b-tokenizer/tokenizer.json")
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, "tokenizer.json"), text, 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

func TestRequestErrors(t *testing.T) {
	const f32 = "testdata/golden/public-f32"
	long := strings.Repeat("5,", 512) + "5"
	for _, c := range []struct {
		args []string
		want []string
	}{
		{[]string{"-ids", "5,x"}, []string{"-ids", `"x"`}},
		{[]string{"-ids", "5,-6"}, []string{"-ids", `"-6"`}},
		{[]string{"-ids", "[]"}, []string{"no tokens"}},
		{[]string{"-ids", "5,600", "-model", f32}, []string{"token 1", "600", f32, "config.json", "vocab_size"}},
		{[]string{"-ids", long, "-n", "0", "-model", f32}, []string{"513", "512", "config.json", "max_position_embeddings"}},
		{[]string{"-ids", "5,6", "-n", "511", "-model", f32}, []string{"2 ids", "-n 511", "512", "config.json"}},
		{[]string{"-ids", "5,6", "-n", "1048576", "-model", f32}, []string{"2 ids", "-n 1048576"}},
		{[]string{"-ids", "5", "-model", "no/such/folder"}, []string{"no/such/folder"}},
		{[]string{"-ids", "5", "-n", "0", "-dump", "no/such/folder/x"}, []string{"-dump", "no/such/folder/x"}},
		{[]string{"-ids", "5", "-n", "0", "-load-plot", "no/such/folder/x"}, []string{"-load-plot", "no/such/folder/x"}},
		{[]string{"-prompt", strings.Repeat("a", 200)}, []string{"config.json", "201", "128", "max_position_embeddings"}},
		{[]string{"-detokenize", "5,x"}, []string{"-detokenize", `"x"`}},
		{[]string{"-detokenize", "5,408"}, []string{"tokenizer.json", "408"}},
		{[]string{"-tokenize", "a", "-model", "no/such/folder"}, []string{"no/such/folder/tokenizer.json"}},
		{[]string{"-tokenize", "a", "-model", bf16Model}, []string{bf16Model + "/tokenizer.json"}},
	} {
		status, _, stderr := call(t, "", c.args...)
		if status != exitError {
			t.Errorf("%.60q: status %d", c.args, status)
		}
		lines := strings.SplitAfter(stderr, "\n")
		checkLine(t, lines[len(lines)-2], c.want...) // after the speeds, where something ran
	}
}
