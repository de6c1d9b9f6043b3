/* Lines, words and bytes of standard input. */
#include <stdio.h>
#include <string.h>

int main(int argc, char **argv)
{
    unsigned long lines = 0, words = 0, bytes = 0;
    int inside = 0, c;

    if (argc > 1 && strcmp(argv[1], "--version") == 0) {
        puts("tally " VERSION);
        return 0;
    }
    while ((c = getchar()) != EOF) {
        int blank = c == ' ' || c == '\n' || c == '\t';

        bytes++;
        lines += c == '\n';
        words += !blank && !inside;
        inside = !blank;
    }
    printf("%lu %lu %lu\n", lines, words, bytes);
    return ferror(stdin) != 0;
}
