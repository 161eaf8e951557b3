package commands

import (
	"context"
	"net/http"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/cachectl/cachectl/purge"
)

// purgeItems are the flags that say what is to be purged.
type purgeItems struct {
	paths, urls, tags, prefixes, hosts []string
	headers                            []string
	everything                         bool

	files     []string
	fileKind  string
	null      bool
	gitDiff   string
	manifests []string // the old and the new one
	maps      []string
}

// purgeItemFlags are their names.
var purgeItemFlags = []string{"path", "url", "tag", "prefix", "host", "header", "everything",
	"file", "file-kind", "null", "git-diff", "manifest", "map"}

func (p *purgeItems) add(cmd *cobra.Command) {
	f := cmd.Flags()
	list := func(to *[]string, name, usage string) { f.StringArrayVar(to, name, nil, usage+"; may be repeated") }
	list(&p.paths, "path", "a `path`, such as /a.css or /img/*, on the hosts of --host where the CDN wants URLs")
	list(&p.urls, "url", "a `URL` in full")
	list(&p.tags, "tag", "a cache `tag` that the origin gave")
	list(&p.prefixes, "prefix", "all that begins with this `prefix`, such as /img/ or example.com/img")
	list(&p.hosts, "host", "all of this `host`; with paths, the host that they are on")
	list(&p.headers, "header", "a request header, `NAME: VALUE`, of the URLs' cache key")
	f.BoolVar(&p.everything, "everything", false, "purge all that there is")
	list(&p.files, "file", "the items that this `LIST` names, one a line, - for standard input")
	f.StringVar(&p.fileKind, "file-kind", "", "what the lines of --file are: url|path|prefix|tag|host; by default /... is a path, https://... a URL, #... a tag")
	var kinds []string
	for _, k := range itemKinds() {
		kinds = append(kinds, string(k))
	}
	complete(cmd, "file-kind", kinds...)
	f.BoolVarP(&p.null, "null", "0", false, "the items of --file end in a NUL byte each")
	f.StringVar(&p.gitDiff, "git-diff", "", "what changed between two commits, `A..B`, of the repository here; deleted and renamed files too")
	list(&p.manifests, "manifest", "what changed or is gone between the manifests of two builds: --manifest `OLD` NEW")
	list(&p.maps, "map", "what a file is served as, `'FILES -> PATHS'`, such as 'public/** -> /**'")
	cmd.MarkFlagFilename("file")
	cmd.MarkFlagFilename("manifest")
}

// stdin tells whether the items come by standard input, which can then answer no
// question.
func (p *purgeItems) stdin() bool { return slices.Contains(p.files, "-") }

// sourced tells whether a list, of any origin, says what is purged. It may turn
// out to be empty.
func (p *purgeItems) sourced() bool {
	return len(p.files) > 0 || p.gitDiff != "" || len(p.manifests) > 0
}

// parse checks what flags say about sources.
func (p *purgeItems) parse() error {
	kinds := itemKinds()
	switch {
	case p.fileKind != "" && !slices.Contains(kinds, purge.Kind(p.fileKind)):
		return usagef("bad --file-kind %q: it is url, path, prefix, tag or host", p.fileKind)
	case (p.fileKind != "" || p.null) && len(p.files) == 0:
		return usagef("--file-kind and -0 go with --file")
	case len(p.manifests) == 1 || len(p.manifests) > 2:
		return usagef("--manifest OLD NEW: there are two of them")
	case len(p.maps) > 0 && p.gitDiff == "" && len(p.manifests) == 0:
		return usagef("--map goes with --git-diff and --manifest")
	}
	return nil
}

// lists brings the items of all sources, and tells what they have to tell.
func (p *purgeItems) lists(ctx context.Context, env *Env) ([]purge.Item, error) {
	var items []purge.Item
	for _, path := range p.files {
		list := itemFile{path: path, kind: purge.Kind(p.fileKind), null: p.null}
		listed, err := list.read(env)
		if err != nil {
			return nil, err
		}
		items = append(items, listed...)
	}
	maps, err := parseMaps(p.maps)
	if err != nil {
		return nil, &usageError{err}
	}
	var from []gathering
	if p.gitDiff != "" {
		g, err := gitDiff(ctx, ".", p.gitDiff, maps)
		if err != nil {
			return nil, err
		}
		from = append(from, g)
	}
	if len(p.manifests) > 0 {
		g, err := manifestDiff(p.manifests[0], p.manifests[1], maps)
		if err != nil {
			return nil, err
		}
		from = append(from, g)
	}
	for _, g := range from {
		items = append(items, g.items...)
		for _, note := range g.notes {
			env.note("%s", note)
		}
	}
	return items, nil
}

// given are the flags of items with a value of their own.
func (p *purgeItems) given() []struct {
	flag   string
	kind   purge.Kind
	values []string
} {
	return []struct {
		flag   string
		kind   purge.Kind
		values []string
	}{{"path", purge.Path, p.paths}, {"url", purge.URL, p.urls}, {"tag", purge.Tag, p.tags}, {"prefix", purge.Prefix, p.prefixes}, {"host", purge.Host, p.hosts}}
}

// read brings all items. Hosts say where paths are where there may be some, and
// are items themselves otherwise.
func (p *purgeItems) read(ctx context.Context, env *Env) ([]purge.Item, error) {
	var items []purge.Item
	named := p.sourced() || p.everything
	for _, g := range p.given() {
		named = named || len(g.values) > 0
		for _, v := range g.values {
			if strings.TrimSpace(v) == "" {
				return nil, withHint(usagef("an empty --%s", g.flag), "a variable that is not set? An empty item is never everything")
			}
			if g.kind != purge.Host {
				items = append(items, purge.Item{Kind: g.kind, Value: v})
			}
		}
	}
	if !named {
		return nil, withHint(usagef("nothing named that is to be purged"), "--path, --url, --tag, --prefix, --host, --file, --git-diff or --manifest name it; --everything means all")
	}
	if p.everything {
		items = append(items, purge.Item{Kind: purge.Everything})
	}
	listed, err := p.lists(ctx, env)
	if err != nil {
		return nil, err
	}
	items = append(items, listed...)
	// An empty list of paths must not turn the hosts that they are on into what is
	// purged: beside a list, hosts are never items.
	switch {
	case len(p.hosts) == 0 || slices.ContainsFunc(items, local) || len(items) == 0 && p.sourced():
	case p.sourced():
		return nil, withHint(usagef("--host says where listed paths are, and the list has none"), "a whole host is purged in a run of its own")
	default:
		for _, h := range p.hosts {
			items = append(items, purge.Item{Kind: purge.Host, Value: h})
		}
	}
	return items, nil
}

// place joins paths to hosts, and gives URLs the headers of their cache key.
func (p *purgeItems) place(items []purge.Item, c *cdn) ([]purge.Item, error) {
	header, err := p.header()
	if err != nil {
		return nil, err
	}
	hosts := p.hosts
	if len(hosts) == 0 {
		hosts = c.Host
	}
	if c.Provider == "cloudfront" && len(p.hosts) > 0 && slices.ContainsFunc(items, local) {
		return nil, withHint(usagef("--host does not go with paths of cloudfront"), "a path is purged on every host of the distribution")
	}
	items = purge.Join(hosts, items)
	if len(header) == 0 {
		return items, nil
	}
	keyed := 0
	for n := range items {
		if items[n].Kind == purge.URL && len(items[n].Header) == 0 {
			items[n].Header = header
			keyed++
		}
	}
	if keyed == 0 {
		return nil, usagef("--header goes with --url, or with --path and --host")
	}
	return items, nil
}

// local tells whether an item wants a host to be on.
func local(i purge.Item) bool {
	return (i.Kind == purge.Path || i.Kind == purge.Prefix) && strings.HasPrefix(i.Value, "/")
}

func (p *purgeItems) header() (http.Header, error) {
	header := make(http.Header)
	for _, h := range p.headers {
		name, value, ok := strings.Cut(h, ":")
		name, value = strings.TrimSpace(name), strings.TrimSpace(value)
		if !ok || name == "" || strings.ContainsAny(name, " \t\r\n") || strings.ContainsAny(value, "\r\n") {
			return nil, usagef("bad --header %q: it is NAME: VALUE", h)
		}
		header.Add(name, value)
	}
	return header, nil
}

// kindsOf are the kinds that items have.
func kindsOf(items []purge.Item) []purge.Kind {
	var kinds []purge.Kind
	for _, k := range purge.Kinds {
		if slices.ContainsFunc(items, func(i purge.Item) bool { return i.Kind == k }) {
			kinds = append(kinds, k)
		}
	}
	return kinds
}

// itemKinds are the kinds that the lines of a list can have.
func itemKinds() []purge.Kind {
	return slices.DeleteFunc(slices.Clone(purge.Kinds), func(k purge.Kind) bool { return k == purge.Everything })
}
