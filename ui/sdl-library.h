/*
 * SDL, loaded when a window is opened: it drags in some fifty shared objects. The names of its functions
 * stand for pointers here.
 */
#ifndef UI_SDL_LIBRARY_H
#define UI_SDL_LIBRARY_H

#include <config.h>
#ifdef CONFIG_SDL
#define SDL_MAIN_HANDLED
#include <SDL.h>
#include <stdbool.h>

struct Error;

#define SDL_LIBRARY(F)                                                                             \
    F(SDL_CreateRenderer)                                                                          \
    F(SDL_CreateTexture)                                                                           \
    F(SDL_CreateWindow)                                                                            \
    F(SDL_DestroyRenderer)                                                                         \
    F(SDL_DestroyTexture)                                                                          \
    F(SDL_DestroyWindow)                                                                           \
    F(SDL_GetError)                                                                                \
    F(SDL_GetRendererOutputSize)                                                                   \
    F(SDL_GetWindowSize)                                                                           \
    F(SDL_Init)                                                                                    \
    F(SDL_PushEvent)                                                                               \
    F(SDL_Quit)                                                                                    \
    F(SDL_RegisterEvents)                                                                          \
    F(SDL_RenderClear)                                                                             \
    F(SDL_RenderCopy)                                                                              \
    F(SDL_RenderPresent)                                                                           \
    F(SDL_SetHint)                                                                                 \
    F(SDL_SetMainReady)                                                                            \
    F(SDL_SetRelativeMouseMode)                                                                    \
    F(SDL_SetRenderDrawColor)                                                                      \
    F(SDL_SetTextureScaleMode)                                                                     \
    F(SDL_SetWindowFullscreen)                                                                     \
    F(SDL_SetWindowKeyboardGrab)                                                                   \
    F(SDL_SetWindowSize)                                                                           \
    F(SDL_SetWindowTitle)                                                                          \
    F(SDL_ShowCursor)                                                                              \
    F(SDL_UpdateTexture)                                                                           \
    F(SDL_WaitEvent)                                                                               \
    F(SDL_free)

#define SDL_LIBRARY_POINTER(name) __typeof__(name) *name;
typedef struct SdlLibrary {
    SDL_LIBRARY(SDL_LIBRARY_POINTER)
} SdlLibrary;
#undef SDL_LIBRARY_POINTER

extern SdlLibrary sdl; /* constant after sdl_library_load() */

/* sdl_library_load - open it, once. First thread. */
bool sdl_library_load(struct Error **errp);
#endif

#endif
