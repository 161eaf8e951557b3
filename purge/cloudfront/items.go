package cloudfront

import (
	"fmt"
	"net/url"
	"strings"

	"github.com/cachectl/cachectl/purge"
)

// The rules of the "Specify the files to invalidate" and "Invalidate by tags"
// pages of the CloudFront developer guide. What breaks them is mostly accepted
// by the API, and then purges nothing.
const (
	maxPath = 4000 // characters
	maxTag  = 256
)

const noTilde = "CloudFront cannot invalidate a path with ~, encoded or not"

// normalise brings an item into the form it is sent in.
func (d *distribution) normalise(i purge.Item) (purge.Item, *purge.Refusal) {
	switch i.Kind {
	case purge.Path:
		return normalPath(i.Value)
	case purge.Prefix:
		if !strings.HasSuffix(i.Value, "*") {
			i.Value += "*"
		}
		return normalPath(i.Value)
	case purge.Tag:
		return d.normalTag(i.Value)
	case purge.Everything:
		return purge.Item{Kind: purge.Everything}, nil
	case purge.URL:
		return i, &purge.Refusal{Why: "CloudFront takes paths, and purges them on every host of the distribution", Instead: pathOf(i.Value)}
	case purge.Host:
		return i, &purge.Refusal{Why: "CloudFront cannot purge one host of a distribution", Instead: "the distribution with that alias, if it has no other: everything"}
	}
	return i, &purge.Refusal{Why: fmt.Sprintf("no such kind of item: %q", i.Kind)}
}

// pathOf is what remains of a URL when scheme, host and fragment are gone.
func pathOf(raw string) string {
	u, err := url.Parse(raw)
	if err != nil || u.Host == "" {
		return "a path, from its first / on"
	}
	u.Scheme, u.Host, u.User, u.Fragment, u.RawFragment = "", "", nil, "", ""
	if u.Path == "" {
		u.Path = "/"
	}
	return "path " + u.String()
}

func normalPath(path string) (purge.Item, *purge.Refusal) {
	refuse := func(why, instead string) (purge.Item, *purge.Refusal) {
		return purge.Item{}, &purge.Refusal{Why: why, Instead: instead}
	}
	bare, wild := strings.CutSuffix(path, "*")
	switch {
	case path == "*":
		return refuse("a path begins with /", "/*, or everything")
	case strings.HasPrefix(path, "#"):
		return refuse("this is a tag", "tag "+path[1:])
	case strings.Contains(path, "://"):
		return refuse("a path has neither scheme nor host", pathOf(path))
	case !strings.HasPrefix(path, "/"):
		return refuse("a path begins with /", "/"+path)
	case strings.Contains(path, "#"):
		return refuse("browsers do not send what follows #", path[:strings.IndexByte(path, '#')])
	case strings.Contains(bare, "*"):
		return refuse("* is a wildcard as the last character only, and a plain * elsewhere", path[:strings.IndexByte(path, '*')+1])
	}
	if at := strings.IndexByte(path, '~'); at >= 0 {
		return refuse(noTilde, parent(path, at))
	}
	if at := strings.IndexByte(path, '?'); at >= 0 && signed(path[at:]) {
		return refuse("the query string of a signed URL is no part of what is cached", path[:at])
	}
	encoded, refusal := encode(bare)
	if refusal != nil {
		return purge.Item{}, refusal
	}
	if wild {
		encoded += "*"
	}
	switch {
	case len(encoded) > maxPath:
		return refuse(fmt.Sprintf("longer than %d characters", maxPath), "a wildcard for a directory above it")
	case encoded == "/*":
		return purge.Item{Kind: purge.Everything}, nil
	}
	return purge.Item{Kind: purge.Path, Value: encoded}, nil
}

// parent is the wildcard for the directory that holds what stands at path[at].
func parent(path string, at int) string { return path[:strings.LastIndexByte(path[:at], '/')+1] + "*" }

func signed(query string) bool {
	return strings.Contains(query, "Signature=") && strings.Contains(query, "Key-Pair-Id=")
}

// encode percent-encodes what RFC 1738 calls unsafe, and bytes beyond ASCII,
// and nothing else: CloudFront compares what was sent with what viewers ask
// for. What is encoded already stays, unless it need not be encoded.
func encode(path string) (string, *purge.Refusal) {
	var b strings.Builder
	for at := 0; at < len(path); at++ {
		c := path[at]
		switch {
		case c == '%':
			decoded, err := url.PathUnescape(path[at:min(at+3, len(path))])
			if err != nil {
				return "", &purge.Refusal{Why: "% is not followed by two hexadecimal digits", Instead: path[:at] + "%25" + path[at+1:]}
			}
			switch code := decoded[0]; {
			case code == '~':
				return "", &purge.Refusal{Why: noTilde, Instead: parent(path, at)}
			case needless(code):
				return "", &purge.Refusal{Why: fmt.Sprintf("%s encodes %q, which is not to be encoded: it would match nothing", path[at:at+3], decoded),
					Instead: path[:at] + decoded + path[at+3:]}
			}
			b.WriteString(strings.ToUpper(path[at : at+3]))
			at += 2
		case c <= ' ' || c >= 0x7f || strings.IndexByte("\"<>\\^`{|}[]", c) >= 0:
			fmt.Fprintf(&b, "%%%02X", c)
		default:
			b.WriteByte(c)
		}
	}
	return b.String(), nil
}

// needless tells whether RFC 1738 lets c stand as it is everywhere in a path.
func needless(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte("$-_.+!*'(),", c) >= 0
}

func (d *distribution) normalTag(tag string) (purge.Item, *purge.Refusal) {
	tag = strings.TrimPrefix(tag, "#") // the API's own form of it
	refuse := func(why, instead string) (purge.Item, *purge.Refusal) {
		return purge.Item{}, &purge.Refusal{Why: why, Instead: instead}
	}
	switch {
	case d.tags == tagsOff:
		return refuse("distribution "+d.id+" does not read cache tags, so nothing is marked with one",
			"set CacheTagConfig on the distribution to the header that the origin sends tags in; until then, purge by path")
	case tag == "":
		return refuse("an empty tag", "")
	case len(tag) > maxTag:
		return refuse(fmt.Sprintf("longer than %d characters", maxTag), "")
	case strings.Contains(tag, "*"):
		return refuse("tags have no wildcards", "each tag in full")
	}
	for _, c := range []byte(tag) {
		if c < 33 || c > 126 || c == ',' {
			return refuse(fmt.Sprintf("%q cannot be part of a tag: printable ASCII without space and comma can", c), "")
		}
	}
	return purge.Item{Kind: purge.Tag, Value: strings.ToLower(tag)}, nil
}

// wire is the item as the API takes it.
func wire(i purge.Item) string {
	switch i.Kind {
	case purge.Everything:
		return "/*"
	case purge.Tag:
		return "#" + i.Value
	}
	return i.Value
}

// unwire is the item that the API tells of.
func unwire(s string) purge.Item {
	switch tag, ok := strings.CutPrefix(s, "#"); {
	case ok:
		return purge.Item{Kind: purge.Tag, Value: tag}
	case s == "/*":
		return purge.Item{Kind: purge.Everything}
	}
	return purge.Item{Kind: purge.Path, Value: s}
}
