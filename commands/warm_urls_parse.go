package commands

import (
	"errors"
	"math"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/time/rate"

	"github.com/cachectl/cachectl/backends"
	"github.com/cachectl/cachectl/commands/render"
)

func (o *warmURLOptions) parse(cmd *cobra.Command, args []string) (ro render.Options, err error) {
	if ro, err = o.output.options(cmd.Context(), o.journal.env); err != nil {
		return ro, err
	}
	switch {
	case len(args) == 0 && o.journal.resumed == nil:
		return ro, withHint(usagef("no SOURCE named"), "a file of URLs, - for standard input, an access log, or a sitemap")
	case slices.Index(args, "-") != lastIndex(args, "-"):
		return ro, usagef("standard input can be read once")
	case o.from != "" && !slices.Contains([]string{fromList, fromSitemap, fromLog}, o.from):
		return ro, usagef("bad --from %q: it is list, sitemap or log", o.from)
	case o.method != http.MethodGet && o.method != http.MethodHead:
		return ro, usagef("bad --method %q: it is GET or HEAD", o.method)
	case o.concurrency < 1 || o.concurrency > mostConcurrency:
		return ro, usagef("bad --concurrency %d: it is from 1 to %d", o.concurrency, mostConcurrency)
	case o.top < 0 || o.minCount < 0 || o.maxErrors < 0:
		return ro, usagef("--top, --min-count and --max-errors are at least 0")
	case o.pace.mode != paceAdaptive && o.pace.mode != paceMax:
		return ro, usagef("bad --pace %q: it is adaptive or max", o.pace.mode)
	case cmd.Flags().Changed("verify") && o.verify && o.noVerify:
		return ro, usagef("--verify and --no-verify do not go together")
	}
	o.noVerify = o.noVerify || !o.verify
	for _, pattern := range slices.Concat(o.match, o.exclude) {
		if err := backends.CheckGlob(pattern); err != nil || pattern == "" {
			return ro, usagef("bad pattern: %q %w", pattern, errors.Join(err, emptyPattern(pattern)))
		}
	}
	if err := errors.Join(o.parseSites(), o.parseHeaders(), o.parseBounds()); err != nil {
		return ro, err
	}
	return ro, o.parseGates()
}

// mostConcurrency is more than any origin wants.
const mostConcurrency = 1024

func lastIndex(all []string, one string) int {
	for n, text := range slices.Backward(all) {
		if text == one {
			return n
		}
	}
	return -1
}

func emptyPattern(pattern string) error {
	if pattern == "" {
		return errors.New("is empty")
	}
	return nil
}

// parseGates reads --fail-if, and refuses what cannot be known.
func (o *warmURLOptions) parseGates() error {
	if err := o.gates.parse(warmGateFields...); err != nil {
		return err
	}
	for _, g := range o.gates.all {
		if o.noVerify && slices.Contains([]string{"hit_rate", "hit_rate_before", "filled", "not_cached", "unknown", "hits", "hit_p50"}, g.field) {
			return usagef("--fail-if '%s' and --no-verify do not go together: nobody looks", g.text)
		}
	}
	return nil
}

func (o *warmURLOptions) parseSites() error {
	o.hosts.bases = nil
	for _, text := range o.hostTexts {
		u, err := parseWarmHost(text)
		if err != nil {
			return err
		}
		o.hosts.bases = append(o.hosts.bases, u)
	}
	o.resolved = make(map[string]string)
	for _, text := range o.resolve {
		parts := strings.SplitN(text, ":", 3)
		bad := usagef("bad --resolve %q: write it as www.example.com:443:10.0.0.7", text)
		if len(parts) != 3 || parts[0] == "" {
			return bad
		}
		addr := strings.Trim(parts[2], "[]")
		if port, err := strconv.ParseUint(parts[1], 10, 16); err != nil || port == 0 || net.ParseIP(addr) == nil {
			return bad
		}
		o.resolved[strings.ToLower(parts[0])+":"+parts[1]] = net.JoinHostPort(addr, parts[1])
	}
	return nil
}

func (o *warmURLOptions) parseHeaders() (err error) {
	read := func(texts []string) (http.Header, error) {
		header, err := parseVerifyHeaders(texts)
		if err == nil && header.Get("Cookie") != "" {
			err = usagef("header Cookie: what somebody's cookie gets is not for everybody's cache")
		}
		return header, err
	}
	if o.header, err = read(o.headerTexts); err != nil {
		return err
	}
	o.variants = nil
	for _, text := range o.variantTexts {
		variant, err := read([]string{text})
		if err != nil {
			return err
		}
		o.variants = append(o.variants, variant)
	}
	if len(o.variants) == 0 {
		o.variants = []http.Header{nil}
	}
	return nil
}

func (o *warmURLOptions) parseBounds() (err error) {
	if o.timeout, err = parseDuration(o.timeoutRaw); err == nil && o.timeout == 0 {
		err = errors.New("it is more than 0")
	}
	if err != nil {
		return usagef("bad --timeout: %w", err)
	}
	if o.maxBody, err = parseSize(o.maxBodyRaw); err != nil {
		return usagef("bad --max-body: %w", err)
	}
	if o.rate == "" {
		return nil
	}
	n, err := strconv.ParseFloat(strings.TrimSuffix(o.rate, "/s"), 64)
	if err != nil || n <= 0 || math.IsNaN(n) || n > 1e9 {
		return usagef("bad --rate %q: write it as 50/s", o.rate)
	}
	o.limiter = rate.NewLimiter(rate.Limit(n), 1) // evenly, without bursts
	return nil
}
