package checkpoint

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
	"unicode/utf8"
)

// parseIndex reads a model.safetensors.index.json and returns which shard file
// holds each tensor. Members other than weight_map are not used.
func parseIndex(text []byte) (map[string]string, error) {
	if !utf8.Valid(text) {
		return nil, fmt.Errorf("%w: not UTF-8", ErrFormat)
	}
	var shardOf map[string]string
	err := walkObject(text, func(name string, value json.RawMessage) error {
		if name != "weight_map" {
			return nil
		}
		shardOf = make(map[string]string)
		err := walkObject(value, func(tensor string, value json.RawMessage) error {
			shard, err := parseString(value)
			if err == nil {
				err = checkShardName(shard)
			}
			if err != nil {
				return fmt.Errorf("tensor %s: %w", quote(tensor), err)
			}
			shardOf[tensor] = shard
			return nil
		})
		if err != nil {
			return fmt.Errorf("weight_map: %w", err)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if len(shardOf) == 0 {
		return nil, fmt.Errorf("%w: no weight_map, or an empty one", ErrFormat)
	}
	return shardOf, nil
}

// checkShardName refuses a shard name that is not a plain file name, on any
// operating system: an index must not reach out of its folder.
func checkShardName(name string) error {
	if !fs.ValidPath(name) || !filepath.IsLocal(name) || name == "." || strings.ContainsAny(name, "/\\:\x00") {
		return fmt.Errorf("%w: shard %s is not a plain file name", ErrFormat, quote(name))
	}
	return nil
}
