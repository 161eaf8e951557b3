package commands

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"unicode/utf8"

	"github.com/cachectl/cachectl/purge"
)

// A gathering is what a source of items brought: each item once, in the order
// of the source. An empty one is no error, and never "everything".
type gathering struct {
	items    []purge.Item
	files    int      // that the source told of as changed
	unmapped []string // files that no map fits: purged by nothing, to be told; the first few
	unfit    int      // how many such files there are
	notes    []string // what a person has to know, in whole sentences

	seen map[string]bool // values, by the kind's name in front
}

// mostUnmapped is how many of the files that no map fits are named.
const mostUnmapped = 5

func (g *gathering) add(i purge.Item) {
	key := string(i.Kind) + " " + i.Value
	if g.seen == nil {
		g.seen = make(map[string]bool)
	}
	if !g.seen[key] {
		g.seen[key] = true
		g.items = append(g.items, i)
	}
}

// addFile adds what all maps that fit say the file is served as.
func (g *gathering) addFile(name string, maps []pathMap) {
	g.files++
	fits := false
	for n := range maps {
		if item, ok := maps[n].item(name); ok {
			g.add(item)
			fits = true
		}
	}
	if fits {
		return
	}
	if g.unfit++; len(g.unmapped) < mostUnmapped {
		g.unmapped = append(g.unmapped, name)
	}
}

// tell adds the note about files that no map fits.
func (g *gathering) tell() {
	if g.unfit == 0 {
		return
	}
	more := ""
	if g.unfit > len(g.unmapped) {
		more = ", ..."
	}
	g.notes = append(g.notes, fmt.Sprintf("not purged, because no --map fits: %s (%s%s)", plural(int64(g.unfit), "changed file"), strings.Join(g.unmapped, ", "), more))
}

// An itemFile names items one by one, one a line: a file, or "-" for standard
// input. Blank lines are skipped, carriage returns before the end of a line are
// no part of it, since no item can hold one. A line that begins with # is a tag:
// there are no comments.
type itemFile struct {
	path string
	kind purge.Kind // of all lines; empty: by each line's form
	null bool       // items end in NUL instead of a newline
}

// Bounds of a list. Neither is a limit of a CDN: they say that it is no list of items.
const (
	longestItem = 16 << 10
	mostItems   = 5_000_000
)

// read brings all items, before anything is done with the first.
func (l *itemFile) read(env *Env) ([]purge.Item, error) {
	in, name := env.In, "standard input"
	if l.path != "-" {
		f, err := os.Open(l.path)
		if err != nil {
			return nil, fmt.Errorf("list of items: %w", err)
		}
		defer f.Close()
		in, name = f, l.path
	}
	items, err := l.items(in)
	if err != nil {
		return nil, fmt.Errorf("list of items: %s, %w", name, err)
	}
	return items, nil
}

func (l *itemFile) items(in io.Reader) ([]purge.Item, error) {
	var end byte = '\n'
	if l.null {
		end = 0
	}
	var items []purge.Item
	lines := bufio.NewScanner(in)
	lines.Buffer(make([]byte, 8<<10), longestItem+2) // with the end of the line
	var ended bool                                   // a list may end without its last newline or NUL byte
	lines.Split(until(end, &ended))
	n := 0
	for lines.Scan() {
		n++
		line := lines.Bytes()
		if n == 1 {
			line = bytes.TrimPrefix(line, []byte("\ufeff"))
		}
		if !l.null {
			line = bytes.TrimSuffix(line, []byte("\r"))
		}
		if len(bytes.TrimSpace(line)) == 0 {
			continue
		}
		item, err := l.item(string(line))
		if err == nil && len(items) == mostItems {
			err = fmt.Errorf("more than %d items: a prefix, a tag or everything instead", mostItems)
		}
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
		items = append(items, item)
	}
	switch err := lines.Err(); {
	case errors.Is(err, bufio.ErrTooLong):
		return nil, fmt.Errorf("line %d: longer than %d bytes", n+1, longestItem)
	case err != nil:
		return nil, fmt.Errorf("line %d: %w", n+1, err)
	}
	return items, nil
}

// item reads one line.
func (l *itemFile) item(line string) (purge.Item, error) {
	switch {
	case !l.null && strings.IndexByte(line, 0) >= 0:
		return purge.Item{}, errors.New("it holds NUL bytes: items that end in NUL, or a file in UTF-16?")
	case line[0] == ' ' || line[0] == '\t' || line[len(line)-1] == ' ' || line[len(line)-1] == '\t':
		return purge.Item{}, fmt.Errorf("%q begins or ends with a space; one that belongs to it is written %%20", cutText(line))
	case l.kind == purge.Everything:
		return purge.Item{}, errors.New("everything is asked for by its own flag, never by a list")
	case l.kind != "":
		return purge.Item{Kind: l.kind, Value: line}, nil
	}
	return itemByForm(line)
}

// itemByForm takes text for a URL, a path or a tag, whichever it looks like.
func itemByForm(text string) (purge.Item, error) {
	switch {
	case strings.HasPrefix(text, "/"):
		return purge.Item{Kind: purge.Path, Value: text}, nil
	case isURL(text):
		return purge.Item{Kind: purge.URL, Value: text}, nil
	case strings.HasPrefix(text, "#") && len(text) > 1:
		return purge.Item{Kind: purge.Tag, Value: text[1:]}, nil
	}
	return purge.Item{}, fmt.Errorf("%q is neither a path (/...) nor a URL (https://...) nor a tag (#...): say of what kind the lines are, or write it so", cutText(text))
}

// cutText is as much of a text as an error or a table shows.
func cutText(text string) string {
	const most = 120
	if len(text) <= most {
		return text
	}
	cut := most
	for cut > most-utf8.UTFMax && !utf8.RuneStart(text[cut]) {
		cut--
	}
	return text[:cut] + "..."
}
