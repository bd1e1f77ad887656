package main

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
)

// routing chooses the experts of tokens: ids (T,K), the ids of a token distinct and in [0,G).
type routing struct {
	name string
	what string
	ids  func(tokens int, s *shape) ([]int32, error)
}

var routings = []routing{
	{"balanced", "every expert gets ⌊T·K/G⌋ or ⌈T·K/G⌉ rows", balanced},
	{"uniform", "K distinct experts drawn at random for each token, the same in every run", uniform},
	{"hot", "expert 0 gets a row of every token, the others are drawn at random", hot},
}

// parseRouting finds a routing by name; another name is that of a file.
func parseRouting(s string) (routing, error) {
	for _, r := range routings {
		if r.name == s {
			return r, nil
		}
	}
	return readRouting(s)
}

// balanced walks around the experts with a stride that is coprime to their number, so that any G slots in a row name every
// expert once, and a few tokens spread over all ranks.
func balanced(tokens int, s *shape) ([]int32, error) {
	stride := s.G*5/8 + 1
	for gcd(stride, s.G) != 1 {
		stride++
	}
	ids := make([]int32, tokens*s.K)
	for i := range ids {
		ids[i] = int32(i * stride % s.G)
	}
	return ids, nil
}

func gcd(a, b int) int {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}

func uniform(tokens int, s *shape) ([]int32, error) { return draw(tokens, s, 0) }

func hot(tokens int, s *shape) ([]int32, error) { return draw(tokens, s, 1) }

// draw gives each token the experts 0 … fixed−1 and draws the rest from the others.
func draw(tokens int, s *shape, fixed int) ([]int32, error) {
	random := rand.New(rand.NewPCG(1, 2))
	experts := make([]int32, s.G)
	for e := range experts {
		experts[e] = int32(e)
	}
	var ids []int32
	for range tokens {
		for k := fixed; k < s.K; k++ {
			other := k + random.IntN(s.G-k)
			experts[k], experts[other] = experts[other], experts[k]
		}
		ids = append(ids, experts[:s.K]...)
	}
	return ids, nil
}

// readRouting reads a JSON file of rows of ids, one row a token: [[3,5],[1,0],…]. Fewer tokens than the file has take its
// first rows.
func readRouting(path string) (routing, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return routing{}, fmt.Errorf("routing: want %s or a JSON file: %w", names(routings, func(r routing) string { return r.name }), err)
	}
	var rows [][]int32
	if err := json.Unmarshal(text, &rows); err != nil {
		return routing{}, fmt.Errorf("routing %s: want rows of expert ids such as [[3,5],[1,0]]: %w", path, err)
	}
	return routing{name: path, ids: func(tokens int, s *shape) ([]int32, error) {
		if tokens > len(rows) {
			return nil, fmt.Errorf("routing %s: it has %d tokens, want %d", path, len(rows), tokens)
		}
		var ids []int32
		for t, row := range rows[:tokens] {
			if err := checkRow(row, s); err != nil {
				return nil, fmt.Errorf("routing %s: token %d: %w", path, t, err)
			}
			ids = append(ids, row...)
		}
		return ids, nil
	}}, nil
}

func checkRow(row []int32, s *shape) error {
	if len(row) != s.K {
		return fmt.Errorf("%d experts, want K = %d", len(row), s.K)
	}
	seen := make(map[int32]bool, len(row))
	for _, id := range row {
		if id < 0 || int(id) >= s.G || seen[id] {
			return fmt.Errorf("experts %v, want distinct ids in [0,%d)", row, s.G)
		}
		seen[id] = true
	}
	return nil
}
