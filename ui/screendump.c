/*
 * Screen dumps: portable pixmaps, and PNG where libpng is there.
 */
#include "ui/screendump.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include "base/broker.h"
#include "base/error.h"
#include "base/mem.h"
#include <config.h> /* the one made by ./configure */

#ifdef CONFIG_PNG
#include <png.h>
#endif

Surface *screendump_take(Screen *screen)
{
    const Surface *shown;
    Surface *copy;

    screen_refresh(screen);
    shown = screen_surface(screen);
    copy = surface_new(shown->width, shown->height);
    if (copy != NULL) {
        surface_copy(screen_surface(screen), copy->pixels, copy->stride, 0, 0, copy->width,
                     copy->height);
    }
    return copy;
}

/* Three bytes a pixel. */
static void rgb_line(const Surface *s, unsigned y, uint8_t *out)
{
    const uint32_t *p = s->pixels + (size_t)y * s->stride;

    for (unsigned x = 0; x < s->width; x++, out += 3) {
        out[0] = (uint8_t)(p[x] >> 16);
        out[1] = (uint8_t)(p[x] >> 8);
        out[2] = (uint8_t)p[x];
    }
}

static bool write_ppm(const Surface *s, FILE *f, uint8_t *line)
{
    fprintf(f, "P6\n%u %u\n255\n", s->width, s->height);
    for (unsigned y = 0; y < s->height; y++) {
        rgb_line(s, y, line);
        if (fwrite(line, 3, s->width, f) != s->width) {
            return false;
        }
    }
    return true;
}

#ifdef CONFIG_PNG
static bool write_png(const Surface *s, FILE *f, uint8_t *line)
{
    png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, NULL, NULL, NULL);
    png_infop info = png != NULL ? png_create_info_struct(png) : NULL;

    if (info == NULL || setjmp(png_jmpbuf(png))) { /* libpng comes back here when it fails */
        png_destroy_write_struct(&png, &info);
        return false;
    }
    png_init_io(png, f);
    png_set_IHDR(png, info, s->width, s->height, 8, PNG_COLOR_TYPE_RGB, PNG_INTERLACE_NONE,
                 PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
    png_write_info(png, info);
    for (unsigned y = 0; y < s->height; y++) {
        rgb_line(s, y, line);
        png_write_row(png, line);
    }
    png_write_end(png, info);
    png_destroy_write_struct(&png, &info);
    return true;
}
#endif

static bool write_picture(const Surface *s, FILE *f, DumpFormat format)
{
    uint8_t *line = xnewn(uint8_t, (size_t)s->width * 3);
    bool ok = false;

    if (format == DUMP_PPM) {
        ok = write_ppm(s, f, line);
    }
#ifdef CONFIG_PNG
    if (format == DUMP_PNG) {
        ok = write_png(s, f, line);
    }
#endif
    free(line);
    return ok;
}

bool screendump_write(const Surface *surface, const char *path, DumpFormat format, Error **errp)
{
    autofree char *part = xasprintf("%s.part", path);
    FILE *f;
    bool ok;

#ifndef CONFIG_PNG
    if (format == DUMP_PNG) {
        error_set(errp, "this program was built without libpng; use -f ppm");
        return false;
    }
#endif
    f = host_fopen(part, "wb");
    if (f == NULL) {
        error_set_errno(errp, errno, "cannot write '%s'", part);
        return false;
    }
    errno = 0;
    ok = write_picture(surface, f, format);
    ok = fclose(f) == 0 && ok;
    if (!ok || host_rename(part, path) != 0) {
        error_set_errno(errp, errno != 0 ? errno : EIO, "cannot write '%s'", path);
        host_unlink(part);
        return false;
    }
    return true;
}
