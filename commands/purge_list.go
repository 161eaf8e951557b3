package commands

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/cachectl/cachectl/purge"
)

// readPurgeList brings the items of a file, or of standard input, one a line:
// "/a.css" is a path, "https://..." a URL, and "tag product:42" says its kind.
func readPurgeList(env *Env, path string) ([]purge.Item, error) {
	var in io.Reader = env.In
	if path != "-" {
		f, err := os.Open(path)
		if err != nil {
			return nil, fmt.Errorf("list: %w", err)
		}
		defer f.Close()
		in = f
	}
	var items []purge.Item
	lines := bufio.NewScanner(in)
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		kind, value, ok := strings.Cut(line, " ")
		switch {
		case line == "":
			continue
		case strings.HasPrefix(line, "/"):
			items = append(items, purge.Item{Kind: purge.Path, Value: line})
		case strings.Contains(kind, "://"):
			items = append(items, purge.Item{Kind: purge.URL, Value: line})
		case ok && (kind == "tag" || kind == "prefix" || kind == "host"):
			items = append(items, purge.Item{Kind: purge.Kind(kind), Value: strings.TrimSpace(value)})
		default:
			return nil, withHint(fmt.Errorf("list: %s, line %d: neither a path nor a URL: %q", path, n, line), "other kinds are told by a word: tag VALUE, prefix VALUE, host VALUE")
		}
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("list: %s: %w", path, err)
	}
	return items, nil
}
