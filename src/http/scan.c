#include "http/scan.h"

#define BOTH (CHAR_TOKEN | CHAR_REG_NAME)

const uint8_t http_char_classes[256] = {
    ['0' ... '9'] = BOTH | CHAR_DIGIT | CHAR_HEX,
    ['A' ... 'F'] = BOTH | CHAR_HEX, ['G' ... 'Z'] = BOTH,
    ['a' ... 'f'] = BOTH | CHAR_HEX, ['g' ... 'z'] = BOTH,
    ['!'] = BOTH, ['$'] = BOTH, ['&'] = BOTH, ['\''] = BOTH, ['*'] = BOTH, ['+'] = BOTH, ['-'] = BOTH, ['.'] = BOTH, ['_'] = BOTH,
    ['~'] = BOTH,
    ['#'] = CHAR_TOKEN, ['%'] = CHAR_TOKEN, ['^'] = CHAR_TOKEN, ['`'] = CHAR_TOKEN, ['|'] = CHAR_TOKEN,
    ['('] = CHAR_REG_NAME, [')'] = CHAR_REG_NAME, [','] = CHAR_REG_NAME, [';'] = CHAR_REG_NAME, ['='] = CHAR_REG_NAME,
};
