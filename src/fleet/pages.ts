// Owns paging: what a page of rows is.

export interface PageRequest {
  /** From 1. */
  page: number;
  pageSize: number;
}

export interface Page<T> extends PageRequest {
  items: T[];
  totalItems: number;
}

export const offsetOf = (request: PageRequest) => (request.page - 1) * request.pageSize;
