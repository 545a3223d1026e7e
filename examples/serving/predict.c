/* Click probabilities of raw rows by TensorFlow's C API, without Python.
 *
 *   predict SAVED_MODEL [SIGNATURE] < rows.tsv
 *
 * The first line of rows.tsv names the columns, and each further line is a row
 * with the same number of tab-separated fields. Columns that the signature
 * (default: serve_raw) does not have are ignored. An empty number is missing
 * (NaN). A column that is a list without a separator of its own has spaces
 * between its elements. It prints the probability of each row on a line.
 *
 * The pip wheels of TensorFlow have the library and its headers:
 *
 *   TF=$(python -c 'import tensorflow as tf; print(tf.sysconfig.get_lib())')
 *   gcc -O2 -std=c11 -Wall examples/serving/predict.c -o predict \
 *       -I$TF/include -L$TF -l:libtensorflow_cc.so.2 \
 *       -l:libtensorflow_framework.so.2 -Wl,-rpath,$TF
 *
 * Exit status: 0, or 1 with one line on stderr if a row or the model is wrong.
 */
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tensorflow/c/c_api.h"
#include "tensorflow/c/tf_tstring.h"

#define OUTPUT "probability"
#define MAX_INPUTS 1024

static _Noreturn void fail(const char* format, ...) {
  va_list arguments;
  va_start(arguments, format);
  fputs("predict: ", stderr);
  vfprintf(stderr, format, arguments);
  fputc('\n', stderr);
  va_end(arguments);
  exit(1);
}

static void* allocate(size_t size) {
  void* found = calloc(size ? size : 1, 1);
  if (!found) fail("out of memory");
  return found;
}

/* ---- The signature: a few messages of protocol buffers, as they lie. ---- */

typedef struct {
  const uint8_t* at;
  const uint8_t* end;
} Message;

typedef struct {
  uint64_t number; /* of the field */
  uint64_t value;  /* if it is an integer */
  Message bytes;   /* if it is a text or a message */
} Field;

static uint64_t varint(Message* m) {
  uint64_t value = 0;
  for (int shift = 0; shift < 64; shift += 7) {
    if (m->at == m->end) break;
    uint8_t byte = *m->at++;
    value |= (uint64_t)(byte & 127) << shift;
    if (byte < 128) return value;
  }
  fail("the SavedModel's signatures are damaged");
}

static int next_field(Message* m, Field* field) {
  if (m->at == m->end) return 0;
  uint64_t tag = varint(m);
  uint64_t size = 0;
  *field = (Field){.number = tag >> 3};
  switch (tag & 7) {
    case 0:
      field->value = varint(m);
      return 1;
    case 1:
      size = 8;
      break;
    case 2:
      size = varint(m);
      break;
    case 5:
      size = 4;
      break;
    default:
      fail("the SavedModel's signatures are damaged");
  }
  if (size > (uint64_t)(m->end - m->at))
    fail("the SavedModel's signatures are damaged");
  field->bytes = (Message){m->at, m->at + size};
  m->at += size;
  return 1;
}

static char* text(Message m) {
  size_t size = (size_t)(m.end - m.at);
  char* found = allocate(size + 1);
  memcpy(found, m.at, size);
  return found;
}

/* The value of an entry of a map, and its key. */
static Message entry(Message m, char** key) {
  Field field;
  Message value = {m.at, m.at};
  *key = NULL;
  while (next_field(&m, &field)) {
    if (field.number == 1) *key = text(field.bytes);
    if (field.number == 2) value = field.bytes;
  }
  if (!*key) *key = text((Message){m.at, m.at});
  return value;
}

typedef struct {
  char* name;      /* in the signature, which is the column's */
  char* tensor;    /* such as "serve_raw_price:0" */
  TF_DataType dtype;
  int axes;        /* with the rows */
  int column;      /* in the file, or -1 */
} Input;

typedef struct {
  Input inputs[MAX_INPUTS];
  int num_inputs;
  Input output;
} Signature;

/* TensorInfo: name = 1, dtype = 2, tensor_shape = 3 with dim = 2. */
static Input tensor_info(Message m, char* name) {
  Input found = {.name = name, .column = -1};
  Field field, dim;
  while (next_field(&m, &field)) {
    if (field.number == 1) found.tensor = text(field.bytes);
    if (field.number == 2) found.dtype = (TF_DataType)field.value;
    if (field.number == 3)
      while (next_field(&field.bytes, &dim)) found.axes += dim.number == 2;
  }
  if (!found.tensor) fail("%s is a composite tensor", name);
  return found;
}

/* MetaGraphDef: signature_def = 5; SignatureDef: inputs = 1, outputs = 2. */
static void read_signature(const TF_Buffer* graph, const char* name,
                           Signature* signature) {
  Message m = {graph->data, (const uint8_t*)graph->data + graph->length};
  Message definition = {NULL, NULL};
  Field field;
  char *key, *first = NULL;
  while (next_field(&m, &field)) {
    if (field.number != 5) continue;
    Message value = entry(field.bytes, &key);
    if (!strcmp(key, name)) definition = value;
    if (!first) first = key;
    else if (first != key) free(key);
  }
  if (!definition.at)
    fail("the SavedModel has no signature %s, but %s", name,
         first ? first : "none at all");
  free(first);
  while (next_field(&definition, &field)) {
    if (field.number != 1 && field.number != 2) continue;
    Message value = entry(field.bytes, &key);
    Input tensor = tensor_info(value, key);
    if (field.number == 2) {
      if (!strcmp(key, OUTPUT)) signature->output = tensor;
    } else if (signature->num_inputs == MAX_INPUTS) {
      fail("more than %d inputs", MAX_INPUTS);
    } else {
      signature->inputs[signature->num_inputs++] = tensor;
    }
  }
  if (!signature->output.name)
    fail("signature %s has no output %s", name, OUTPUT);
}

/* ---- The rows: fields of a file that lies in memory. ---- */

typedef struct {
  char** fields; /* rows times columns */
  size_t rows;
  int columns;
} Table;

static char* read_all(FILE* file, size_t* size) {
  size_t room = 1 << 16;
  char* found = allocate(room);
  *size = 0;
  for (size_t got; (got = fread(found + *size, 1, room - *size - 1, file));) {
    *size += got;
    if (room - *size > 1) continue;
    found = realloc(found, room *= 2);
    if (!found) fail("out of memory");
  }
  found[*size] = 0;
  if (ferror(file)) fail("stdin cannot be read");
  if (strlen(found) < *size) fail("stdin has a byte 0");
  return found;
}

/* Splits lines and fields in place; the fields of line 0 are the columns. */
static Table read_table(FILE* file) {
  Table table = {0};
  size_t size, room = 0, count = 0, lines = 0;
  char* at = read_all(file, &size);
  char* end = at + size;
  while (at < end) {
    char* stop = strchr(at, '\n');
    if (!stop) stop = end;
    *stop = 0;
    if (stop > at && stop[-1] == '\r') stop[-1] = 0;
    int fields = 0;
    for (char* field = at; field; fields++) {
      if (count == room) {
        room = room ? 2 * room : 1024;
        table.fields = realloc(table.fields, room * sizeof(char*));
        if (!table.fields) fail("out of memory");
      }
      table.fields[count++] = field;
      field = strchr(field, '\t');
      if (field) *field++ = 0;
    }
    if (!lines++) table.columns = fields;
    if (fields != table.columns)
      fail("line %zu has %d fields, line 1 has %d", lines, fields,
           table.columns);
    at = stop + 1;
  }
  if (lines < 2) fail("stdin must have a line of column names and rows");
  table.rows = lines - 1;
  return table;
}

static const char* cell(const Table* table, size_t row, int column) {
  return table->fields[(row + 1) * (size_t)table->columns + (size_t)column];
}

/* ---- Tensors ---- */

static void wrong(const Input* input, size_t row, const char* value,
                  const char* rule) {
  fail("row %zu: column %s must be %s, but it is '%s'", row, input->name, rule,
       value);
}

static double number(const Input* input, size_t row, const char* value) {
  if (!*value) return NAN;
  char* end;
  double found = strtod(value, &end);
  if (*end) wrong(input, row, value, "a number or empty");
  return found;
}

static int64_t integer(const Input* input, size_t row, const char* value) {
  char* end;
  errno = 0;
  long long found = strtoll(value, &end, 10);
  if (!*value || *end || errno) wrong(input, row, value, "a whole number");
  return found;
}

/* The next element of a list, whose end is returned; elements have a space
   between them. */
static const char* element_end(const char* value) {
  return value + strcspn(value, " ");
}

static int64_t longest_list(const Table* table, int column) {
  int64_t longest = 1;
  for (size_t row = 0; row < table->rows; row++) {
    int64_t count = 1;
    for (const char* c = cell(table, row, column); *c; c++) count += *c == ' ';
    if (count > longest) longest = count;
  }
  return longest;
}

static void set(const Input* input, void* data, int64_t at, size_t row,
                const char* value) {
  switch (input->dtype) {
    case TF_STRING: {
      TF_TString* string = (TF_TString*)data + at;
      TF_TString_Init(string);
      TF_TString_Copy(string, value, strlen(value));
      break;
    }
    case TF_DOUBLE:
      ((double*)data)[at] = number(input, row, value);
      break;
    case TF_FLOAT:
      ((float*)data)[at] = (float)number(input, row, value);
      break;
    case TF_INT64:
      ((int64_t*)data)[at] = integer(input, row, value);
      break;
    default:
      fail("column %s has dtype %d, which this program does not read",
           input->name, (int)input->dtype);
  }
}

/* A column, or a matrix of lists that are padded with empty elements. */
static TF_Tensor* column_tensor(const Table* table, const Input* input) {
  if (input->axes != 1 && input->axes != 2)
    fail("column %s has %d axes; this program reads values and lists",
         input->name, input->axes);
  int64_t width = input->axes == 2 ? longest_list(table, input->column) : 1;
  int64_t shape[] = {(int64_t)table->rows, width};
  size_t size = input->dtype == TF_STRING ? sizeof(TF_TString)
                                          : TF_DataTypeSize(input->dtype);
  TF_Tensor* tensor = TF_AllocateTensor(input->dtype, shape, input->axes,
                                        size * table->rows * (size_t)width);
  if (!tensor) fail("out of memory");
  void* data = TF_TensorData(tensor);
  for (size_t row = 0; row < table->rows; row++) {
    const char* at = cell(table, row, input->column);
    for (int64_t i = 0; i < width; i++) {
      const char* end = input->axes == 2 ? element_end(at) : at + strlen(at);
      char* value = text((Message){(const uint8_t*)at, (const uint8_t*)end});
      set(input, data, (int64_t)row * width + i, row + 1, value);
      free(value);
      at = *end ? end + 1 : end;
    }
  }
  return tensor;
}

/* "name:1" is output 1 of the operation "name". */
static TF_Output find(TF_Graph* graph, const Input* tensor) {
  char* name = allocate(strlen(tensor->tensor) + 1);
  strcpy(name, tensor->tensor);
  char* colon = strrchr(name, ':');
  int index = colon ? atoi(colon + 1) : 0;
  if (colon) *colon = 0;
  TF_Output found = {TF_GraphOperationByName(graph, name), index};
  if (!found.oper) fail("the graph has no operation %s", name);
  free(name);
  return found;
}

static void check(const TF_Status* status) {
  if (TF_GetCode(status) == TF_OK) return;
  /* The first line says what is wrong, the others where in the graph. */
  const char* message = TF_Message(status);
  fail("%.*s", (int)strcspn(message, "\n"), message);
}

int main(int argc, char** argv) {
  if (argc < 2 || argc > 3)
    fail("usage: predict SAVED_MODEL [SIGNATURE] < rows.tsv");
  const char* name = argc > 2 ? argv[2] : "serve_raw";
  const char* tags[] = {"serve"};
  TF_Status* status = TF_NewStatus();
  TF_Graph* graph = TF_NewGraph();
  TF_Buffer* definition = TF_NewBuffer();
  TF_SessionOptions* options = TF_NewSessionOptions();
  TF_Session* session = TF_LoadSessionFromSavedModel(
      options, NULL, argv[1], tags, 1, graph, definition, status);
  check(status);
  static Signature signature;
  read_signature(definition, name, &signature);

  Table table = read_table(stdin);
  TF_Output inputs[MAX_INPUTS];
  TF_Tensor* values[MAX_INPUTS];
  for (int i = 0; i < signature.num_inputs; i++) {
    Input* input = &signature.inputs[i];
    for (int column = 0; column < table.columns; column++) {
      if (strcmp(table.fields[column], input->name)) continue;
      if (input->column >= 0) fail("two columns are named %s", input->name);
      input->column = column;
    }
    if (input->column < 0) fail("stdin has no column %s", input->name);
    inputs[i] = find(graph, input);
    values[i] = column_tensor(&table, input);
  }
  TF_Output output = find(graph, &signature.output);
  TF_Tensor* scores = NULL;
  TF_SessionRun(session, NULL, inputs, values, signature.num_inputs, &output,
                &scores, 1, NULL, 0, NULL, status);
  check(status);
  if (TF_TensorType(scores) != TF_FLOAT ||
      TF_TensorElementCount(scores) != (int64_t)table.rows)
    fail("%s is not one float a row", OUTPUT);
  for (size_t row = 0; row < table.rows; row++)
    printf("%.9g\n", ((float*)TF_TensorData(scores))[row]);

  TF_DeleteTensor(scores);
  for (int i = 0; i < signature.num_inputs; i++) TF_DeleteTensor(values[i]);
  TF_CloseSession(session, status);
  TF_DeleteSession(session, status);
  TF_DeleteSessionOptions(options);
  TF_DeleteBuffer(definition);
  TF_DeleteGraph(graph);
  TF_DeleteStatus(status);
  return ferror(stdout) || fclose(stdout);
}
