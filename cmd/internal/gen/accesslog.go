package gen

import (
	"fmt"
	"math/bits"
	"math/rand/v2"
	"strconv"
	"time"
)

const (
	clientCount    = 200_000
	pathCount      = 8_192
	userAgentCount = 40
	refererCount   = 256
	maxRequest     = 512    // bytes of a line; more than any has
	logPerSecond   = 20_000 // bytes: about 100 requests
	logStart       = 1_767_225_600
)

// site is what lines of its access log are put together from.
type site struct {
	clients  []string // a line's beginning, up to the time
	requests []string // from the method to the quotation mark
	slots    []uint16 // a request's share of the slots is its frequency
	referers []string // in quotation marks and spaces
	agents   []string // in quotation marks, with the line's end
}

// newSite returns the same site each time.
func newSite() *site {
	s := &site{slots: make([]uint16, 1<<16)}
	for i := range clientCount {
		// A step of the one is prime to their number, and the other fits them between 1.0.0.0 and 223.255.255.255: all differ.
		ip := 1<<24 + uint32(i*123_457%clientCount)*18_617
		s.clients = append(s.clients, fmt.Sprintf("%d.%d.%d.%d - - [", ip>>24, ip>>16&255, ip>>8&255, ip&255))
	}
	rnd := rand.New(rand.NewPCG(1991, 1995))
	words := newVocabulary()
	word := func() string { return words.word(rnd.IntN(vocabularySize)) }
	paths := make([]string, pathCount)
	for i := range paths {
		paths[i] = newPath(rnd, word)
		s.requests = append(s.requests, "GET "+paths[i]+" HTTP/1.1\"")
	}
	deal(s.slots, pathCount)
	for i := range refererCount {
		referer := "-"
		if i%2 == 1 {
			referer = "https://www.example.com" + paths[rnd.IntN(500)]
		} else if i%8 == 0 {
			referer = "https://search.example.org/find?q=" + word() + "+" + word()
		}
		s.referers = append(s.referers, " \""+referer+"\" ")
	}
	for i := range userAgentCount {
		s.agents = append(s.agents, "\""+newAgent(i)+"\"\n")
	}
	return s
}

func newPath(rnd *rand.Rand, word func() string) string {
	switch rnd.IntN(8) {
	case 0:
		return fmt.Sprintf("/blog/%d/%02d/%s-%s-%s", 2015+rnd.IntN(11), 1+rnd.IntN(12), word(), word(), word())
	case 1:
		return fmt.Sprintf("/static/js/%s.%08x.js", word(), rnd.Uint32())
	case 2:
		return fmt.Sprintf("/static/css/%s.%08x.css", word(), rnd.Uint32())
	case 3, 4:
		return fmt.Sprintf("/images/%s/%s-%d.jpg", word(), word(), rnd.IntN(1000))
	case 5:
		return fmt.Sprintf("/search?q=%s+%s&page=%d", word(), word(), 1+rnd.IntN(9))
	default:
		return fmt.Sprintf("/products/%s/%s-%d", word(), word(), rnd.IntN(100_000))
	}
}

func newAgent(i int) string {
	systems := []string{"Windows NT 10.0; Win64; x64", "Macintosh; Intel Mac OS X 10_15_7", "X11; Linux x86_64", "Linux; Android 14; Pixel 8"}
	switch system := systems[i%len(systems)]; i / len(systems) {
	case 0, 1, 2, 3, 4, 5:
		return fmt.Sprintf("Mozilla/5.0 (%s) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/%d.0.0.0 Safari/537.36", system, 118+i)
	case 6, 7:
		return fmt.Sprintf("Mozilla/5.0 (%s; rv:%d.0) Gecko/20100101 Firefox/%d.0", system, 100+i, 100+i)
	case 8:
		return fmt.Sprintf("Mozilla/5.0 (compatible; crawler/%d.%d; +https://crawler.example.org/bot.html)", i, i%7)
	default:
		return fmt.Sprintf("curl/8.%d.0", i%10)
	}
}

// fill writes requests in the order of time. One takes 128 random bits.
func (s *site) fill(dst []byte, block int64, rnd *rand.PCG) int {
	out := dst[:0]
	var now int64
	var stamp []byte
	for len(dst)-len(out) >= maxRequest {
		if t := logStart + (block*blockSize+int64(len(out)))/logPerSecond; t != now {
			now = t
			stamp = time.Unix(t, 0).UTC().AppendFormat(stamp[:0], "02/Jan/2006:15:04:05 +0000] \"")
		}
		a, b := rnd.Uint64(), rnd.Uint64()
		client := clientOf(uint32(a))
		out = append(append(out, s.clients[client]...), stamp...)
		var status int
		out, status = s.request(out, uint16(a>>32), uint16(a>>48), uint32(b))
		out = strconv.AppendInt(append(out, ' '), int64(status), 10)
		if status == 304 {
			out = append(out, " -"...)
		} else {
			out = strconv.AppendInt(append(out, ' '), sizeOf(b), 10)
		}
		out = append(out, s.referers[b>>56]...)
		out = append(out, s.agents[client%userAgentCount]...)
	}
	return len(out)
}

// A response has 1,024 bytes at least, so that no size looks like a status. Of two, one is in the octave from there, of four one in
// the next, and so on to one in 2,048 of 2 to 4 MiB: few are large, and have as many bytes together as the many small ones (Pareto's law
// with an exponent of 1).
const (
	minSize     = 1024
	sizeOctaves = 12
)

// sizeOf chooses the bytes of a response with the bits from 32 to 55 of random ones, and the last nine.
func sizeOf(random uint64) int64 {
	octave := min(bits.TrailingZeros64(random>>32|1<<(sizeOctaves-1)), sizeOctaves-1)
	within := random>>(31+sizeOctaves)&0x7ff<<9 | random&0x1ff
	return minSize<<octave + minSize<<octave*int64(within)>>20
}

// clientOf chooses a client with 32 random bits: of each power of two of them, equally many requests come, so that some
// have many and most have few, close to Zipf's law.
func clientOf(random uint32) int {
	octaves := bits.Len(clientCount)
	octave := int(random&0xfff) * octaves >> 12
	first := 1 << octave
	return first - 1 + int(uint64(random>>12)*uint64(min(first, clientCount+1-first))>>20)
}

// request appends a request and chooses its status. Of 1,000 requests, 3 look for a login that is not there, and 170 call the
// API, half of them for users; some 2 % of the calls fail.
func (s *site) request(out []byte, choice, path uint16, number uint32) (_ []byte, status int) {
	switch choice := int(choice) * 1000 >> 16; {
	case choice < 3:
		return append(out, `POST /wp-login.php HTTP/1.1"`...), 404
	case choice < 173:
		out = append(out, [...]string{"GET", "GET", "GET", "POST", "PUT", "DELETE", "GET", "POST"}[path&7]...)
		out = append(out, " /api/v"...)
		out = append(out, '1'+byte(path>>3&3), '/')
		out = append(out, [...]string{"users/", "orders/"}[path>>5&1]...)
		out = strconv.AppendUint(out, uint64(number%1_000_000), 10)
		out = append(out, ` HTTP/1.1"`...)
		if path >= 64_200 { // of 65,536
			return out, 500 + int(path&3)
		}
		return out, 200 + int(path>>6&1)
	}
	out = append(out, s.requests[s.slots[path]]...)
	switch number >> 24 { // of 256
	case 0, 1, 2, 3:
		return out, 301
	case 4, 5, 6, 7, 8, 9:
		return out, 404
	case 10:
		return out, 503
	}
	if number>>24 < 40 {
		return out, 304
	}
	return out, 200
}
