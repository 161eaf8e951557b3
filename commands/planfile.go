package commands

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"slices"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/cachectl/cachectl/backends"
)

// A planFile is a list of exact keys, each with what must still be true of it: what one
// person looks through, another carries out.
type planFile struct {
	out string // --plan-out
	in  string // --plan
}

func (p *planFile) add(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&p.out, "plan-out", "", "write the keys, each with what its value is now, to a `file`, and change nothing")
	f.StringVar(&p.in, "plan", "", "take exactly the keys of this plan `file`, and leave those that are not what they were")
	cmd.MarkFlagFilename("plan-out")
	cmd.MarkFlagFilename("plan")
}

// planHead is the first line of a plan file, and planEnd the last: without it the file
// is not whole.
type planHead struct {
	Version int       `json:"cachectl_plan"`
	Time    time.Time `json:"time"`
	Target  string    `json:"target"`
}

type planLine struct {
	Key   *string `json:"key,omitempty"`
	Bytes *[]byte `json:"key_b64,omitempty"`
	Node  string  `json:"node,omitempty"`
	Guard []byte  `json:"guard,omitempty"`
	End   *int64  `json:"end,omitempty"`
}

const planVersion = 1

var errNoPlan = errors.New("it is no plan of this program")

// write lists the selected keys with their guards. Keys whose guard is not to be had
// are left out, and counted.
func (o *bulk) writePlan(ctx context.Context, env *Env, b backends.Backend, t *target) error {
	lost := newTrouble(env)
	progress := newWalkProgress(env, "keys", false)
	lost.before = progress.clear
	n, without := int64(0), int64(0)
	err := replaceFile(o.planFile.out, 0o600, func(w io.Writer) error {
		out := bufio.NewWriter(w)
		enc := json.NewEncoder(out)
		enc.SetEscapeHTML(false)
		if err := enc.Encode(planHead{planVersion, env.Now().UTC(), bareURL(t.url)}); err != nil {
			return err
		}
		for page, err := range aside(lost, insist(o.source.pages(ctx, b, nil, backends.FactGuard), backends.FactGuard)) {
			if err != nil {
				return err
			}
			progress.page(page)
			for i := range page.Entries {
				e := &page.Entries[i]
				if !e.Have.Has(backends.FactGuard) {
					without++
					continue
				}
				if n++; enc.Encode(lineOf(e, page.Shard)) != nil {
					break // the writer keeps its error
				}
			}
		}
		if err := lost.err(false); err != nil {
			return err
		}
		enc.Encode(planLine{End: &n})
		return out.Flush()
	})
	progress.stop()
	if err != nil {
		return withHint(err, "no plan was written, and nothing was done")
	}
	if without > 0 {
		env.warn("%s left out: what their values are now cannot be told", plural(without, "key"))
	}
	env.note("%s in %s; to carry it out: cachectl %s --plan %s", plural(n, "key"), o.planFile.out, o.words.command, shellWords([]string{o.planFile.out}))
	tellFootprint(env, b)
	return nil
}

func lineOf(e *backends.Entry, node string) planLine {
	line := planLine{Node: node, Guard: []byte(e.Guard)}
	if utf8.ValidString(e.Key) {
		line.Key = &e.Key
	} else {
		raw := []byte(e.Key)
		line.Bytes = &raw
	}
	return line
}

// read brings the entries of a plan for target. The whole file is read before the
// first key is touched.
func (p *planFile) read(target string) ([]seen, error) {
	f, err := os.Open(p.in)
	if err != nil {
		return nil, fmt.Errorf("plan: %w", err)
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	lines.Buffer(make([]byte, 64<<10), longestKey)
	bad := func(n int, err error) error { return fmt.Errorf("plan: %s, line %d: %w", p.in, n, err) }
	var head planHead
	if !lines.Scan() || json.Unmarshal(lines.Bytes(), &head) != nil || head.Version == 0 {
		return nil, bad(1, errNoPlan)
	}
	if head.Version != planVersion {
		return nil, bad(1, fmt.Errorf("its format is version %d, and this program reads %d", head.Version, planVersion))
	}
	if meant(head.Target) != target {
		return nil, withHint(usagef("plan: %s is of %s, and the target is %s", p.in, head.Target, target), "-t names the target")
	}
	var all []seen
	for n := 2; lines.Scan(); n++ {
		var line planLine
		dec := json.NewDecoder(bytes.NewReader(lines.Bytes()))
		dec.DisallowUnknownFields()
		err := dec.Decode(&line)
		switch {
		case err != nil:
			return nil, bad(n, err)
		case line.End != nil:
			if *line.End != int64(len(all)) || lines.Scan() {
				return nil, bad(n, fmt.Errorf("it should hold %d keys, and holds %d", *line.End, len(all)))
			}
			return all, nil
		case len(line.Guard) == 0 || line.Key == nil && line.Bytes == nil:
			return nil, bad(n, errors.New("a key or its guard is missing"))
		}
		e := backends.Entry{Have: backends.FactGuard, Guard: string(line.Guard)}
		if line.Key != nil {
			e.Key = *line.Key
		} else {
			e.Key = string(*line.Bytes)
		}
		all = append(all, seen{e, line.Node})
	}
	return nil, fmt.Errorf("plan: %s: it breaks off", p.in)
}

// A seen is a key as a plan knows it, and the node that it was on.
type seen struct {
	backends.Entry
	node string
}

// byKey is what a plan knows, and its keys in order. On memcached a key may be on two
// nodes.
func byKey(all []seen) (keys []string, plan map[string][]seen) {
	plan = make(map[string][]seen, len(all))
	for _, s := range all {
		if plan[s.Key] == nil {
			keys = append(keys, s.Key)
		}
		plan[s.Key] = append(plan[s.Key], s)
	}
	return keys, plan
}

// planned brings the keys that a plan knows, each in a page of its node.
func (s *source) planned(ctx context.Context, size int) iter.Seq2[backends.Page, error] {
	return func(yield func(backends.Page, error) bool) {
		done := 0
		for batch := range backends.Batch(slices.Values(s.keys), size) {
			if ctx.Err() != nil {
				yield(backends.Page{}, context.Cause(ctx))
				return
			}
			pages := make(map[string]*backends.Page)
			var nodes []string
			for _, key := range batch {
				for _, seen := range s.plan[key] {
					page := pages[seen.node]
					if page == nil {
						page = &backends.Page{Shard: seen.node}
						pages[seen.node] = page
						nodes = append(nodes, seen.node)
					}
					page.Entries = append(page.Entries, seen.Entry)
				}
			}
			done += len(batch)
			for _, node := range nodes {
				pages[node].Done = float64(done) / float64(len(s.keys))
				if !yield(*pages[node], nil) {
					return
				}
			}
		}
	}
}
