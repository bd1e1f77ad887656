package main

import (
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"github.com/gorgonia/moe/examples/mixtral/checkpoint"
	"github.com/gorgonia/moe/examples/mixtral/decoder"
	"github.com/gorgonia/moe/examples/mixtral/tokenizer"
	"github.com/gorgonia/moe/ops/backend"
)

// The tiny model that train/ makes.
//
//go:embed model/config.json model/model.safetensors model/tokenizer.json
var embedded embed.FS

const tokenizerName = "tokenizer.json"

// errVocabulary: the tokenizer and the weights do not belong together.
var errVocabulary = errors.New("vocabulary mismatch")

// folder is where a model's files are: a folder of the operating system, or the embedded one if it is empty.
type folder string

// path is how messages call a file of the folder.
func (f folder) path(name string) string {
	if f == "" {
		return "embedded " + name
	}
	return filepath.Join(string(f), name)
}

// embeddedFS holds the embedded files under their own names.
func embeddedFS() (fs.FS, error) { return fs.Sub(embedded, "model") }

func (f folder) tokenizer() (*tokenizer.Tokenizer, error) {
	if f != "" {
		return tokenizer.Open(f.path(tokenizerName))
	}
	text, err := embedded.ReadFile("model/" + tokenizerName)
	if err != nil {
		return nil, err
	}
	return tokenizer.Parse(text)
}

func (f folder) config() (*checkpoint.Config, error) {
	if f != "" {
		return checkpoint.ReadConfig(f.path(checkpoint.ConfigName))
	}
	files, err := embeddedFS()
	if err != nil {
		return nil, err
	}
	return checkpoint.ReadConfigFS(files, checkpoint.ConfigName)
}

func (f folder) weights() (*checkpoint.Dir, error) {
	if f != "" {
		return checkpoint.OpenDir(string(f))
	}
	files, err := embeddedFS()
	if err != nil {
		return nil, err
	}
	return checkpoint.OpenDirFS(files)
}

// model is a loaded model.
type model struct {
	*decoder.Model
	folder  folder
	weights *checkpoint.Dir // what the decoder's weights lie in
}

// open loads the model of the folder onto a device, its weights packed if pack says so. The caller must close it.
func (f folder) open(d backend.Device, pack bool) (*model, error) {
	config, err := f.config()
	if err != nil {
		return nil, err
	}
	weights, err := f.weights()
	if err != nil {
		return nil, err
	}
	m := &model{folder: f, weights: weights}
	if m.Model, err = decoder.Load(config, weights); err == nil {
		m.Model, err = m.To(d)
	}
	if err == nil && pack {
		m.Model, err = m.Pack()
	}
	if err != nil {
		return nil, errors.Join(err, weights.Close())
	}
	return m, nil
}

func (m *model) close() error { return m.weights.Close() }

// checkTokenizer returns an error if the tokenizer makes ids that the model has no embedding for. The other way round is
// ordinary: vocabularies are often padded to a round number.
func (m *model) checkTokenizer(t *tokenizer.Tokenizer) error {
	if int(t.MaxID()) < m.Config.VocabSize {
		return nil
	}
	return fmt.Errorf("%w: %s has ids up to %d, %s says vocab_size %d", errVocabulary,
		m.folder.path(tokenizerName), t.MaxID(), m.folder.path(checkpoint.ConfigName), m.Config.VocabSize)
}

// checkIDs returns an error for an id without an embedding and for a text that is longer than the context.
func (m *model) checkIDs(ids []int32) error {
	config := m.folder.path(checkpoint.ConfigName)
	for i, id := range ids {
		if id < 0 || int(id) >= m.Config.VocabSize {
			return fmt.Errorf("token %d has id %d, %s says vocab_size %d", i, id, config, m.Config.VocabSize)
		}
	}
	if len(ids) == 0 {
		return errors.New("the prompt has no tokens, want at least one")
	}
	if len(ids) > m.Config.MaxPositions {
		return fmt.Errorf("the prompt has %d tokens, the context of %s is %d (max_position_embeddings): %w",
			len(ids), config, m.Config.MaxPositions, decoder.ErrContext)
	}
	return nil
}
