package commands

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/maphash"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/cachectl/cachectl/backends"
	"github.com/cachectl/cachectl/commands/render"
)

// A proof reads a share of what was loaded and holds it against what was to be loaded. The
// same keys are drawn in every run.
type proof struct {
	flag    string
	percent float64
	other   backends.Reader // where values are that records do not show; nil: nowhere

	below float64 // place of the keys that are drawn
	drawn map[string]expectation
}

// An expectation is what a key is to be.
type expectation struct {
	form    string
	kind    string
	expires time.Time
	digest  uint64
}

// mostDrawn bounds what a proof holds in memory. Where more are drawn, every second is
// dropped.
const mostDrawn = 100_000

func (p *proof) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&p.flag, "verify", "", "afterwards read this `share` of what was loaded, and compare: 1%")
}

func (p *proof) parse() error {
	if p.flag == "" {
		return nil
	}
	n, err := strconv.ParseFloat(strings.TrimSuffix(p.flag, "%"), 64)
	if err != nil || !(n > 0 && n <= 100) || !strings.HasSuffix(p.flag, "%") {
		return usagef("bad --verify %q: write it as 1%%", p.flag)
	}
	p.percent, p.below, p.drawn = n, n/100, make(map[string]expectation)
	return nil
}

var digestSeed = maphash.MakeSeed()

// see draws a record that was loaded, or does not.
func (p *proof) see(r *backends.Record) {
	if p.percent == 0 || place(r.Key, "verify") >= p.below || r.Form == backends.FormCommand {
		return
	}
	e := expectation{form: r.Form, kind: r.Type, expires: r.Expires}
	if backends.Portable(r.Form) {
		e.kind, e.digest = r.Form, recordDigest(r)
	} else if p.other == nil {
		e.form = "" // nobody tells
	}
	p.drawn[strings.Clone(r.Key)] = e
	if len(p.drawn) > mostDrawn {
		p.below /= 2
		for key := range p.drawn {
			if place(key, "verify") >= p.below {
				delete(p.drawn, key)
			}
		}
	}
}

// check reads what was drawn. bad is what differs.
func (p *proof) check(ctx context.Context, env *Env, b backends.Backend, doc *render.Doc) (bad, err error) {
	reader, err := backends.As[backends.Reader](b)
	if err != nil {
		return nil, err
	}
	keys := slices.Sorted(maps.Keys(p.drawn))
	progress := newCountProgress(env, "verifying", len(keys))
	defer progress.stop()
	var mu sync.Mutex
	var found []error
	differ, done := int64(0), 0
	var work sync.WaitGroup
	queue := make(chan string)
	for range 8 {
		work.Go(func() {
			for key := range queue {
				why, failed := p.compare(ctx, reader, key, p.drawn[key])
				mu.Lock()
				if err = errors.Join(err, failed); why != "" {
					if differ++; len(found) < named {
						found = append(found, fmt.Errorf("%s: %s", render.Quote(key), why))
					}
				}
				done++
				progress.set(done)
				mu.Unlock()
			}
		})
	}
	for _, key := range keys {
		mu.Lock()
		failed := err != nil
		mu.Unlock()
		if failed || ctx.Err() != nil {
			break
		}
		queue <- key
	}
	close(queue)
	work.Wait()
	doc.Fields = append(doc.Fields, render.Field{Name: "verified", Cell: render.Int(int64(done)), Machine: true},
		render.Field{Name: "different", Cell: render.Int(differ), Machine: true})
	if err == nil {
		env.note("verified %s: %s different", plural(int64(done), "key"), render.Int(differ).Text)
	}
	if differ > 0 {
		bad = &checkError{fmt.Sprintf("%s of %s that were read again are not what was loaded\n%v", render.Int(differ).Text, plural(int64(done), "key"), errors.Join(found...))}
	}
	return bad, errors.Join(err, context.Cause(ctx))
}

// ttlTolerance is what caches round TTLs by, and the time that reading takes.
const ttlTolerance = 2 * time.Second

// everything is a window that bounds memory only.
var everything = backends.Window{Bytes: 512 << 20, Elements: 1 << 22}

// compare says what is different about a key; nothing where it is as it was to be.
func (p *proof) compare(ctx context.Context, reader backends.Reader, key string, e expectation) (why string, err error) {
	now := time.Now()
	v, err := reader.Read(ctx, key, everything)
	switch {
	case errors.Is(err, backends.ErrMiss) && !e.expires.IsZero() && e.expires.Before(now.Add(ttlTolerance)):
		return "", nil
	case errors.Is(err, backends.ErrMiss):
		return "it is not there", nil
	case err != nil:
		return "", err
	case v.Have.Has(backends.FactType) && e.kind != "" && v.Type != e.kind && !(e.form == "memcached" && v.Type == backends.FormString):
		return fmt.Sprintf("it is a %s, not a %s", v.Type, e.kind), nil
	}
	if v.Have.Has(backends.FactTTL) {
		switch left := e.expires.Sub(now); {
		case e.expires.IsZero() && v.TTL != backends.NoTTL:
			return fmt.Sprintf("it expires in %s, and never should", render.Duration(v.TTL).Text), nil
		case !e.expires.IsZero() && v.TTL == backends.NoTTL:
			return "it never expires", nil
		case !e.expires.IsZero() && (left-v.TTL).Abs() > ttlTolerance:
			return fmt.Sprintf("it expires in %s, not in %s", render.Duration(v.TTL).Text, render.Duration(left).Text), nil
		}
	}
	if !v.Whole() || e.form == "" {
		return "", nil
	}
	want := e.digest
	if !backends.Portable(e.form) {
		was, err := p.other.Read(ctx, key, everything)
		if errors.Is(err, backends.ErrMiss) || err == nil && !was.Whole() {
			return "", nil // it has ended, or cannot be told
		}
		if err != nil {
			return "", err
		}
		want = valueDigest(&was)
	}
	if valueDigest(&v) != want {
		return "its value is another", nil
	}
	return "", nil
}

// A digester sums up a value of any type, whatever order a set or hash is told in.
type digester struct {
	sum  uint64
	list bool
	buf  []byte
}

func (d *digester) add(parts ...[]byte) {
	d.buf = d.buf[:0]
	for _, part := range parts {
		d.buf = append(binary.AppendUvarint(d.buf, uint64(len(part))), part...)
	}
	h := maphash.Bytes(digestSeed, d.buf)
	if d.list {
		d.sum = d.sum*1099511628211 + h
	} else {
		d.sum += h
	}
}

func scoreBytes(f float64) []byte { return binary.LittleEndian.AppendUint64(nil, math.Float64bits(f)) }

// recordDigest is that of a portable record. Of a hash field or member that comes twice
// the last counts.
func recordDigest(r *backends.Record) uint64 {
	d := digester{list: r.Form == backends.FormList}
	switch r.Form {
	case backends.FormString:
		d.add(r.Value)
	case backends.FormList:
		backends.EachElement(r.Value, func(e []byte) { d.add(e) })
	case backends.FormSet:
		all := make(map[string]bool)
		backends.EachElement(r.Value, func(e []byte) { all[string(e)] = true })
		for e := range all {
			d.add([]byte(e))
		}
	case backends.FormHash:
		all := make(map[string][]byte)
		backends.EachPair(r.Value, func(f, v []byte) { all[string(f)] = v })
		for f, v := range all {
			d.add([]byte(f), v)
		}
	case backends.FormZSet:
		all := make(map[string]float64)
		backends.EachScored(r.Value, func(m []byte, s float64) { all[string(m)] = s })
		for m, s := range all {
			d.add([]byte(m), scoreBytes(s))
		}
	}
	return d.sum
}

// valueDigest is that of a value that was read.
func valueDigest(v *backends.Value) uint64 {
	d := digester{list: v.Type == "list" || v.Type == "stream"}
	if v.Elements == nil && v.Type != "list" && v.Type != "set" && v.Type != "hash" && v.Type != "zset" && v.Type != "stream" {
		d.add(v.Data)
		return d.sum
	}
	for i := range v.Elements {
		e := &v.Elements[i]
		switch v.Type {
		case "hash":
			d.add(e.Name, e.Value)
		case "zset":
			d.add(e.Value, scoreBytes(e.Score))
		case "stream":
			parts := [][]byte{e.Name}
			for _, pair := range e.Pairs {
				parts = append(parts, pair[0], pair[1])
			}
			d.add(parts...)
		default:
			d.add(e.Value)
		}
	}
	return d.sum
}
