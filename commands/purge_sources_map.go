package commands

import (
	"fmt"
	"regexp"
	"strings"
	"unicode/utf8"

	"github.com/cachectl/cachectl/purge"
)

// A pathMap says what of a CDN a file of a repository or of a build is served
// as: "public/** -> /**". Left of the arrow stands a pattern for the whole name
// of a file, from the root of the repository on:
//
//   - any run of bytes within a name, also none; as few as will do
//     **   as a whole segment: any number of folders, also none; as the last
//     segment: whatever is below
//     \    takes the next character as it is
//
// Right of it stands what is purged: a path, a URL with scheme and host, or a
// tag ("posts/*.md -> #post-*"). Its stars take over, in order, what the stars
// of the same kind matched, encoded as a URL needs it; "\*" at the end is a
// wildcard of the CDN: "layouts/** -> /\*".
//
// Of several maps all that fit count, in whatever order they stand: a page may
// be served under two names ("public/** -> /**" and
// "public/**/index.html -> /**/"), and a purge too many costs less than a page
// that stays old.
type pathMap struct {
	text    string
	pattern *regexp.Regexp
	kind    purge.Kind
	parts   []mapPart
}

// A mapPart is a piece of a map's target: text, encoded, or what a group of the
// pattern matched.
type mapPart struct {
	text  string
	group int  // 0: text
	deep  bool // the group is a **: where it matched nothing, a "/" behind it goes too
}

// A mapError points into the text of a map.
type mapError struct {
	text string
	at   int // byte
	why  string
}

func (e *mapError) Error() string {
	if e.at >= len(e.text) {
		return fmt.Sprintf("bad map %q, at its end: %s", e.text, e.why)
	}
	return fmt.Sprintf("bad map %q, at %q: %s", e.text, e.text[e.at:], e.why)
}

// parseMaps reads the values of --map. Its errors are the caller's to mend.
func parseMaps(texts []string) ([]pathMap, error) {
	maps := make([]pathMap, 0, len(texts))
	for _, text := range texts {
		m, err := parseMap(text)
		if err != nil {
			return nil, &usageError{err}
		}
		maps = append(maps, m)
	}
	return maps, nil
}

func parseMap(text string) (pathMap, error) {
	arrow, err := findArrow(text)
	if err != nil {
		return pathMap{}, withHint(err, "a map is written 'public/** -> /**': files on the left, what they are served as on the right")
	}
	p := mapParser{text: text}
	m := pathMap{text: text}
	if m.pattern, err = p.left(trimSpan(text, 0, arrow)); err == nil {
		err = p.right(&m, trimSpan(text, arrow+2, len(text)))
	}
	return m, err
}

// findArrow is the place of the only "->" that no backslash escapes.
func findArrow(text string) (int, error) {
	if !utf8.ValidString(text) {
		return 0, &mapError{text, 0, "it is not UTF-8: * stands for what cannot be typed"}
	}
	arrow := -1
	for i := 0; i < len(text); i++ {
		switch {
		case text[i] == '\\':
			i++
		case strings.HasPrefix(text[i:], "->") && arrow >= 0:
			return 0, &mapError{text, i, `a second arrow; one in the name of a file is written \->`}
		case strings.HasPrefix(text[i:], "->"):
			arrow = i
		}
	}
	if arrow < 0 {
		return 0, &mapError{text, len(text), "it has no arrow"}
	}
	return arrow, nil
}

// A span is a part of a map's text.
type span struct{ from, to int }

func trimSpan(text string, from, to int) span {
	for from < to && text[from] == ' ' {
		from++
	}
	for from < to && text[to-1] == ' ' && (to-from < 2 || text[to-2] != '\\') {
		to--
	}
	return span{from, to}
}

// A mapParser reads the two sides of one map.
type mapParser struct {
	text   string
	groups int
	// The groups of the pattern's stars, in order, as far as the target has not taken them.
	deep, flat []int
}

func (p *mapParser) fail(at int, format string, args ...any) error {
	return &mapError{p.text, at, fmt.Sprintf(format, args...)}
}

// segments are the parts between slashes.
func (p *mapParser) segments(s span) []span {
	var all []span
	from := s.from
	for i := s.from; i < s.to; i++ {
		switch p.text[i] {
		case '\\':
			i++
		case '/':
			all = append(all, span{from, i})
			from = i + 1
		}
	}
	return append(all, span{from, s.to})
}

// left makes an expression of the pattern.
func (p *mapParser) left(s span) (*regexp.Regexp, error) {
	switch {
	case s.from == s.to:
		return nil, p.fail(s.from, "no pattern left of the arrow")
	case p.text[s.from] == '/':
		return nil, p.fail(s.from, "files are named from the root of the repository, without a / in front")
	}
	if strings.HasPrefix(p.text[s.from:s.to], "./") {
		s.from += 2
	}
	expr := strings.Builder{}
	expr.WriteString(`(?s)\A`)
	segments := p.segments(s)
	for n, seg := range segments {
		last := n == len(segments)-1
		switch part := p.text[seg.from:seg.to]; {
		case part == "" && last:
			return nil, p.fail(seg.from, "a folder matches no file: ** stands for all that is in it")
		case part == "" || part == "." || part == "..":
			return nil, p.fail(seg.from, "no file has such a name")
		case part == "**" && n > 0 && p.text[segments[n-1].from:segments[n-1].to] == "**":
			return nil, p.fail(seg.from, "** behind ** says nothing more")
		case part == "**":
			p.groups++
			p.deep = append(p.deep, p.groups)
			if last {
				expr.WriteString(`(.+)`)
			} else {
				expr.WriteString(`(?:(.+?)/)?`)
			}
			continue
		}
		if err := p.segment(&expr, seg); err != nil {
			return nil, err
		}
		if !last {
			expr.WriteByte('/')
		}
	}
	expr.WriteString(`\z`)
	re, err := regexp.Compile(expr.String())
	if err != nil {
		return nil, p.fail(s.from, "%v", err) // too long, or too many stars
	}
	return re, nil
}

// segment adds one segment of the pattern that is not **.
func (p *mapParser) segment(expr *strings.Builder, seg span) error {
	for i := seg.from; i < seg.to; i++ {
		switch c := p.text[i]; c {
		case '*':
			if i+1 < seg.to && p.text[i+1] == '*' {
				return p.fail(i, "** stands for whole folders, with a / on either side: **/*.css")
			}
			p.groups++
			p.flat = append(p.flat, p.groups)
			expr.WriteString(`([^/]*?)`)
		case '?', '[', '{':
			return p.fail(i, `%c is no wildcard here: give a map for each case, or write \%c where the file's name has it`, c, c)
		case '\\':
			if i++; i == seg.to {
				return p.fail(i-1, "a backslash that escapes nothing")
			}
			expr.WriteString(regexp.QuoteMeta(p.text[i : i+1]))
		default:
			expr.WriteString(regexp.QuoteMeta(p.text[i : i+1]))
		}
	}
	return nil
}

// right reads what is purged.
func (p *mapParser) right(m *pathMap, s span) error {
	target := p.text[s.from:s.to]
	switch {
	case target == "":
		return p.fail(s.from, "nothing right of the arrow")
	case target[0] == '/':
		m.kind = purge.Path
	case target[0] == '#':
		m.kind = purge.Tag
		s.from++
	case isURL(target):
		m.kind = purge.URL
		// The host ends what stars may not reach: it is never taken from a file's name.
		_, rest, _ := strings.Cut(target, "://")
		if host, _, ok := strings.Cut(rest, "/"); !ok || host == "" || strings.ContainsAny(host, `*\@?# `) {
			return p.fail(s.from, "a URL has a host without stars, and a path: https://www.example.com/**")
		}
	default:
		return p.fail(s.from, "what is purged is a path (/**), a URL (https://...) or a tag (#...)")
	}
	if s.from == s.to {
		return p.fail(s.from, "a tag without a name")
	}
	return p.parts(m, s)
}

// parts cuts a target into text and stars.
func (p *mapParser) parts(m *pathMap, s span) error {
	var text strings.Builder
	flush := func() {
		if text.Len() > 0 {
			m.parts = append(m.parts, mapPart{text: text.String()})
			text.Reset()
		}
	}
	star := func(at int, groups *[]int, name string) error {
		if len(*groups) == 0 {
			return p.fail(at, "the pattern has no %s left for this one", name)
		}
		flush()
		m.parts = append(m.parts, mapPart{group: (*groups)[0], deep: name == "**"})
		*groups = (*groups)[1:]
		return nil
	}
	for i := s.from; i < s.to; i++ {
		c := p.text[i]
		var err error
		switch {
		case strings.HasPrefix(p.text[i:s.to], "**"):
			if p.text[i-1] != '/' || i+2 < s.to && p.text[i+2] != '/' {
				return p.fail(i, "** stands for whole folders, with a / on either side")
			}
			err = star(i, &p.deep, "**")
			i++
		case c == '*':
			err = star(i, &p.flat, "*")
		case c == '\\' && p.text[i:s.to] == `\*` && m.kind == purge.Path:
			text.WriteByte('*')
			i++
		case c == '\\':
			return p.fail(i, `a backslash stands before a * at the end of a path only, for a wildcard of the CDN`)
		case c == '#' && m.kind != purge.Tag:
			return p.fail(i, "browsers do not send what follows #")
		case m.kind == purge.Tag:
			text.WriteByte(c)
		default:
			text.WriteString(encodeByte(c, urlUnsafe))
		}
		if err != nil {
			return err
		}
	}
	flush()
	return nil
}

// item is what the file is served as, if the map fits it.
func (m *pathMap) item(file string) (purge.Item, bool) {
	groups := m.pattern.FindStringSubmatchIndex(file)
	if groups == nil {
		return purge.Item{}, false
	}
	var b strings.Builder
	for n, part := range m.parts {
		text := part.text
		if part.group > 0 {
			from, to := groups[2*part.group], groups[2*part.group+1]
			if text = file[max(from, 0):max(to, 0)]; m.kind != purge.Tag {
				text = encodePath(text)
			}
		} else if n > 0 && m.parts[n-1].deep && groups[2*m.parts[n-1].group] < 0 {
			text = strings.TrimPrefix(text, "/")
		}
		b.WriteString(text)
	}
	return purge.Item{Kind: m.kind, Value: b.String()}, true
}

// isURL tells URLs from paths and tags.
func isURL(text string) bool {
	scheme, _, ok := strings.Cut(text, "://")
	return ok && (strings.EqualFold(scheme, "http") || strings.EqualFold(scheme, "https"))
}

// What a URL cannot hold as it is (RFC 1738, "unsafe"), beside spaces, controls
// and bytes beyond ASCII; and what means something else in it than in a name. A
// CDN compares what was sent with what viewers ask for, so nothing else is
// encoded. A "~" stays: CloudFront's planner says what is wrong with it.
const (
	urlUnsafe  = "\"<>\\^`{|}[]"
	nameUnsafe = urlUnsafe + "#%?*"
)

func encodeByte(c byte, unsafe string) string {
	if c <= ' ' || c >= 0x7f || strings.IndexByte(unsafe, c) >= 0 {
		return fmt.Sprintf("%%%02X", c)
	}
	return string(rune(c))
}

// encodePath makes the path of a URL of a file's name.
func encodePath(name string) string { return encode(name, nameUnsafe) }

func encode(text, unsafe string) string {
	plain := func(c byte) bool { return c > ' ' && c < 0x7f && strings.IndexByte(unsafe, c) < 0 }
	at := 0
	for at < len(text) && plain(text[at]) {
		at++
	}
	if at == len(text) {
		return text
	}
	var b strings.Builder
	b.Grow(len(text) + 16)
	b.WriteString(text[:at])
	for ; at < len(text); at++ {
		b.WriteString(encodeByte(text[at], unsafe))
	}
	return b.String()
}
