package main

import (
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"strings"
	"sync"
	"syscall"
)

const (
	getSize  = 64 << 20 // bytes of a ranged GET: with fewer, MinIO is slower
	getsOpen = 4
)

func read(from string) []byte {
	if strings.HasPrefix(from, "http://") {
		return fetch(from)
	}
	f, err := os.Open(from)
	must(err)
	defer f.Close()
	info, err := f.Stat()
	must(err)
	if info.Size() == 0 {
		return nil
	}
	data, err := syscall.Mmap(int(f.Fd()), 0, int(info.Size()), syscall.PROT_READ, syscall.MAP_SHARED|syscall.MAP_POPULATE)
	must(err)
	return data
}

// fetch gets an object in ranges, some at a time. The first one says how large the object is.
func fetch(url string) []byte {
	size := get(url, 0, nil)
	data := make([]byte, size)
	open := make(chan struct{}, getsOpen)
	var wg sync.WaitGroup
	for at := 0; at < size; at += getSize {
		open <- struct{}{}
		wg.Go(func() {
			get(url, at, data[at:min(at+getSize, size)])
			<-open
		})
	}
	wg.Wait()
	return data
}

// get fills dst with what is at an offset, and returns the object's size.
func get(url string, at int, dst []byte) (size int) {
	req, err := http.NewRequest(http.MethodGet, url, nil)
	must(err)
	req.Header.Set("Range", fmt.Sprintf("bytes=%d-%d", at, at+max(len(dst), 1)-1))
	resp, err := http.DefaultClient.Do(req)
	must(err)
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusPartialContent {
		log.Fatalf("get %s: %s", url, resp.Status)
	}
	_, err = io.ReadFull(resp.Body, dst)
	must(err)
	_, after, _ := strings.Cut(resp.Header.Get("Content-Range"), "/")
	_, err = fmt.Sscan(after, &size)
	must(err)
	return size
}
