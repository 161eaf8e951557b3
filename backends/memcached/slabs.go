package memcached

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"

	"github.com/cachectl/cachectl/backends"
)

// Slabs reads the slab classes of every node. Errors are as in Stats; a managed
// service without "stats slabs" is one, of the kind backends.ErrDenied.
func (c *cache) Slabs(ctx context.Context) ([]backends.NodeSlabs, error) {
	ctx, release := c.bound(ctx)
	defer release()
	told, errs := make([]backends.NodeSlabs, len(c.nodes)), make([]error, len(c.nodes))
	c.each(func(i int, n *node) {
		told[i].Node = n.addr
		told[i].Slabs, errs[i] = n.slabs(ctx)
	})
	var all []backends.NodeSlabs
	for i := range told {
		if errs[i] == nil {
			all = append(all, told[i])
		} else {
			errs[i] = c.lost(ctx, c.nodes[i], errs[i])
		}
	}
	return all, errors.Join(errs...)
}

func (n *node) slabs(ctx context.Context) (all []backends.Slab, err error) {
	err = n.do(ctx, func(c *conn) error {
		chunks, err := c.stats(slabs)
		if err != nil {
			return err
		}
		lists, err := c.optional(items)
		if err != nil {
			return err
		}
		all = parseSlabs(chunks, lists)
		return nil
	})
	return all, err
}

// parseSlabs joins "stats slabs" ("3:chunk_size") and "stats items"
// ("items:3:evicted"). Classes that never had a page are not told.
func parseSlabs(chunks, lists map[string]string) []backends.Slab {
	classes := make(map[int]*backends.Slab)
	for name, text := range chunks {
		if s, field := classField(classes, name); s != nil {
			setChunkField(s, field, text)
		}
	}
	for name, text := range lists {
		rest, ok := strings.CutPrefix(name, "items:")
		if !ok {
			continue
		}
		if s, field := classField(classes, rest); s != nil {
			setListField(s, field, text)
		}
	}
	var all []backends.Slab
	for _, s := range classes {
		if s.ChunkSize > 0 {
			all = append(all, *s)
		}
	}
	slices.SortFunc(all, func(a, b backends.Slab) int { return a.Class - b.Class })
	return all
}

// mostClasses is more than any server has (63).
const mostClasses = 255

func classField(classes map[int]*backends.Slab, name string) (*backends.Slab, string) {
	number, field, ok := strings.Cut(name, ":")
	class, err := strconv.Atoi(number)
	if !ok || err != nil || class < 0 || class > mostClasses {
		return nil, ""
	}
	s, ok := classes[class]
	if !ok {
		s = &backends.Slab{Class: class, Requested: -1, Oldest: -1}
		classes[class] = s
	}
	return s, field
}

func setChunkField(s *backends.Slab, field, text string) {
	n, err := strconv.ParseUint(text, 10, 63)
	if err != nil {
		return
	}
	switch field {
	case "chunk_size":
		s.ChunkSize = int64(n)
	case "total_pages":
		s.Pages = int64(n)
	case "total_chunks":
		s.Chunks = int64(n)
	case "used_chunks":
		s.Used = int64(n)
	case "get_hits":
		s.Hits = n
	case "touch_hits":
		s.TouchHits = n
	case "cmd_set":
		s.Sets = n
	}
}

func setListField(s *backends.Slab, field, text string) {
	n, err := strconv.ParseUint(text, 10, 63)
	if err != nil {
		return
	}
	switch field {
	case "mem_requested":
		s.Requested = int64(n)
	case "evicted":
		s.Evicted = n
	case "evicted_unfetched":
		s.EvictedUnfetched = n
	case "reclaimed":
		s.Reclaimed = n
	case "outofmemory":
		s.OutOfMemory = n
	case "age":
		s.Oldest = int64(n)
	}
}

// chunk is the real memory of an item of size bytes in a class: its chunk or,
// for an item larger than that, no more than so many of them. 0 is unknown.
func (n *node) chunk(ctx context.Context, class int, size int64) int64 {
	all, err := n.slabs(ctx)
	if err != nil {
		return 0
	}
	for _, s := range all {
		if s.Class == class {
			return max(1, (size+s.ChunkSize-1)/s.ChunkSize) * s.ChunkSize
		}
	}
	return 0
}
